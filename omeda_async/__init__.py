"""Submit irreversible things in bulk to other people's APIs, and always know what happened to each one."""

import importlib
import typing

from omeda_async._version import __version__
from omeda_async.errors import (
    AlreadyDone,
    AnswerLost,
    ApiError,
    AuthenticationFailed,
    BadRequest,
    BatcherFull,
    BatchRejected,
    ClosedError,
    ConfigurationError,
    Conflict,
    ConnectionFailed,
    Culprit,
    InvalidRecord,
    JournalError,
    LimitWaitExceeded,
    MethodNotAllowed,
    NotAuthorized,
    NotFound,
    OmedaAsyncError,
    OutboxError,
    OutcomePending,
    ProviderUnavailable,
    RateLimited,
    ServerError,
    SessionLost,
    TooLate,
    TransportError,
    UnreadableAnswer,
)
from omeda_async.limits import LimitsView, Priority, RateLimit, Window, WindowView
from omeda_async.manager import SessionManager
from omeda_async.outcomes import BulkReport, Outcome, OutcomeStatus, Plan
from omeda_async.settings import (
    BasicAuth,
    BearerAuth,
    Environment,
    JourneyManagerSettings,
    OcambaSettings,
    OmedaSettings,
    RetryPolicy,
    Secret,
    SessionAuth,
)

if typing.TYPE_CHECKING:
    from omeda_async.bulk import Batcher, BatcherView, BulkRun
    from omeda_async.bulk.outbox.outbox import Outbox
    from omeda_async.bulk.shared.reports import ChunkReport, ChunkStatus, RunFilled
    from omeda_async.bulk.shared.run import SharedRun
    from omeda_async.providers.journey_manager.models import Transaction, TransactionCancel, TransactionReceipt
    from omeda_async.providers.ocamba.models import Campaign, CampaignCancel, CampaignReceipt
    from omeda_async.providers.omeda.models import (
        BrandOptOut,
        ClientOptOut,
        Deployment,
        DeploymentCancel,
        DeploymentReceipt,
        DeploymentSearch,
        DeploymentStatus,
        DeploymentTypeOptOut,
        DeploymentUpdate,
        OptOut,
        OptOutReceipt,
        OptOutRecord,
        Tester,
    )

__all__ = [
    "AlreadyDone",
    "AnswerLost",
    "ApiError",
    "AuthenticationFailed",
    "BadRequest",
    "BasicAuth",
    "BatchRejected",
    "Batcher",
    "BatcherFull",
    "BatcherView",
    "BearerAuth",
    "BrandOptOut",
    "BulkReport",
    "BulkRun",
    "Campaign",
    "CampaignCancel",
    "CampaignReceipt",
    "ChunkReport",
    "ChunkStatus",
    "ClientOptOut",
    "ClosedError",
    "ConfigurationError",
    "Conflict",
    "ConnectionFailed",
    "Culprit",
    "Deployment",
    "DeploymentCancel",
    "DeploymentReceipt",
    "DeploymentSearch",
    "DeploymentStatus",
    "DeploymentTypeOptOut",
    "DeploymentUpdate",
    "Environment",
    "InvalidRecord",
    "JournalError",
    "JourneyManagerSettings",
    "LimitWaitExceeded",
    "LimitsView",
    "MethodNotAllowed",
    "NotAuthorized",
    "NotFound",
    "OcambaSettings",
    "OmedaAsyncError",
    "OmedaSettings",
    "OptOut",
    "OptOutReceipt",
    "OptOutRecord",
    "Outbox",
    "OutboxError",
    "Outcome",
    "OutcomePending",
    "OutcomeStatus",
    "Plan",
    "Priority",
    "ProviderUnavailable",
    "RateLimit",
    "RateLimited",
    "RetryPolicy",
    "RunFilled",
    "Secret",
    "ServerError",
    "SessionAuth",
    "SessionLost",
    "SessionManager",
    "SharedRun",
    "Tester",
    "TooLate",
    "Transaction",
    "TransactionCancel",
    "TransactionReceipt",
    "TransportError",
    "UnreadableAnswer",
    "Window",
    "WindowView",
    "__version__",
]

# Loaded when one of its names is first asked for: who does not use it does not wait for it.
_LATER = {
    "bulk": ("Batcher", "BatcherView", "BulkRun"),
    "bulk.outbox.outbox": ("Outbox",),
    "bulk.shared.reports": ("ChunkReport", "ChunkStatus", "RunFilled"),
    "bulk.shared.run": ("SharedRun",),
    "providers.journey_manager.models": ("Transaction", "TransactionCancel", "TransactionReceipt"),
    "providers.ocamba.models": ("Campaign", "CampaignCancel", "CampaignReceipt"),
    "providers.omeda.models": (
        "BrandOptOut",
        "ClientOptOut",
        "Deployment",
        "DeploymentCancel",
        "DeploymentReceipt",
        "DeploymentSearch",
        "DeploymentStatus",
        "DeploymentTypeOptOut",
        "DeploymentUpdate",
        "OptOut",
        "OptOutReceipt",
        "OptOutRecord",
        "Tester",
    ),
}


if not typing.TYPE_CHECKING:  # to a type checker, a name that is not imported above does not exist

    def __getattr__(name: str) -> object:
        for place, names in _LATER.items():
            if name in names:
                module = importlib.import_module(f"omeda_async.{place}")
                globals().update({known: getattr(module, known) for known in names})
                return globals()[name]
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *(name for names in _LATER.values() for name in names)]
