"""A transport that answers from a script, and accounts that use it."""

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

import aiohttp
import attrs
from multidict import CIMultiDict

from omeda_async import ClientOptOut, Deployment, DeploymentUpdate, RateLimit, RetryPolicy
from omeda_async._account import Account
from omeda_async._auth import Credentials, FixedCredentials
from omeda_async._call import Call
from omeda_async._call_options import CallOptions
from omeda_async._operation import Lapsed, Operation, Request, Response
from omeda_async._transport import Transport
from omeda_async.errors import AnswerLost, ConnectionFailed, OmedaAsyncError, UnreadableAnswer
from omeda_async.events import Hook
from omeda_async.limits import make_limiter
from omeda_async.providers.journey_manager import _operations as journey_manager
from omeda_async.providers.journey_manager.models import TransactionCancel
from omeda_async.providers.ocamba import _operations as ocamba
from omeda_async.providers.ocamba.models import CampaignCancel
from omeda_async.providers.omeda import _operations as omeda
from omeda_async.providers.omeda._requests import (
    CancelDeployment,
    CloneDeployment,
    CreateDeployment,
    SubmitOptOuts,
    UpdateDeployment,
)
from omeda_async.settings import OmedaSettings

R = TypeVar("R")
NOW = datetime(2030, 1, 1, tzinfo=UTC)
CLOSE_LIMIT = RateLimit(parallel=4)


@attrs.frozen
class Sent:
    """One request that went out."""

    request: Request
    headers: Mapping[str, str]
    at: float
    timeout: float

    @property
    def path(self) -> str:
        """The path, to tell a read from what it settles."""
        return self.request.path


Reply = Response | OmedaAsyncError | Callable[[], Any]


class ScriptedTransport(Transport):
    """Answers one request after the other with what the script says, each after some moved seconds."""

    def __init__(self, script: Iterable[Reply], *, seconds: float = 0.01) -> None:
        super().__init__()
        self.script = list(script)
        self.sent: list[Sent] = []
        self.seconds = seconds

    def session(self) -> aiohttp.ClientSession:
        """There is none, and nobody needs it."""
        return None  # type: ignore[return-value]  # a fake has no session

    async def send(
        self,
        base_url: str,  # noqa: ARG002 the transport's signature
        request: Request,
        headers: Mapping[str, str],
        *,
        timeout: float,  # noqa: ASYNC109 the transport's signature
        connect_timeout: float,  # noqa: ARG002 the transport's signature
        is_late: Callable[[], bool] | None = None,
    ) -> Response:
        """Response as the script says."""
        if is_late is not None and is_late():
            raise Lapsed("too late")
        self.sent.append(Sent(request, dict(headers), asyncio.get_running_loop().time(), timeout))
        reply = self.script.pop(0)
        await asyncio.sleep(self.seconds)
        if not isinstance(reply, Response | OmedaAsyncError):
            reply = await reply()
        if isinstance(reply, OmedaAsyncError):
            raise reply
        assert isinstance(reply, Response)
        return reply


def answer(status: int, value: Any = None, *, text: str = "", **headers: str) -> Response:
    """An answer with JSON, or with a text."""
    body = text.encode() if value is None else json.dumps(value).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status, CIMultiDict({"Content-Type": "application/json", **named}), body)


def lost(*, timed_out: bool = False) -> AnswerLost:
    """The answer is lost."""
    return AnswerLost("the answer was lost", sent=True, timed_out=timed_out)


def unsent() -> ConnectionFailed:
    """The request never left."""
    return ConnectionFailed("could not connect")


async def never() -> None:
    """No answer comes."""
    await asyncio.get_running_loop().create_future()


def account(
    *script: Reply,
    credentials: Credentials | None = None,
    rate_limit: RateLimit = CLOSE_LIMIT,
    hooks: tuple[Hook, ...] = (),
    provider: str = "omeda",
    **policy: Any,
) -> tuple[Account, ScriptedTransport]:
    """An account whose requests are answered from a script."""
    transport = ScriptedTransport(script)
    made = Account(
        provider=provider,
        settings=OmedaSettings(app_id="app-id-1234", brand="FOO", rate_limit=rate_limit, retry=RetryPolicy(**policy)),
        transport=lambda: transport,
        limiter=make_limiter(rate_limit),
        credentials=credentials or FixedCredentials({"x-omeda-appid": "app-id-1234"}, ("app-id-1234",)),
        hooks=hooks,
    )
    return made, transport


@attrs.frozen
class Case:
    """One operation, with what its answers look like."""

    operation: Operation[Any, Any]
    params: Any
    done: Response

    def call(self, owner: Account, **options: Any) -> Call[Any, Any]:
        """A call of it."""
        return Call(owner, self.operation, self.params, CallOptions(**options))

    async def run(self, owner: Account, **options: Any) -> Any:
        """Make a call of it; gives its Result."""
        return await self.call(owner, **options).run()


def omeda_error(status: int, *messages: str, **headers: str) -> Response:
    """A refusal as Omeda words it."""
    errors = [{"Error": message} for message in messages]
    return answer(status, {"Errors": errors, "SubmissionId": "C95AE90C"}, **headers)


def ocamba_error(status: int) -> Response:
    """A refusal as Ocamba words it: it does not say what is the matter."""
    return answer(status, {"code": status, "title": "Bad request.", "message": "The request body is not valid."})


def campaign(status: str) -> Response:
    """A campaign, read."""
    return answer(200, {"total": 1, "items": [{"id": "1000248", "status": status}]})


def finished() -> Response:
    """Journey Manager's refusal that does not say whether completed or abandoned."""
    text = "The transaction has already been finished (Completed or Abandoned)."
    return answer(400, {"errorKey": "txnAlreadyFinished", "error": text})


def transaction(form_status: str) -> Response:
    """A transaction, queried."""
    return answer(200, {"result": [{"submitKey": "15d0", "formStatus": form_status}]})


def deployment(status: str) -> Response:
    """A deployment, looked up."""
    return answer(200, {"TrackId": "FOO1", "Status": status, "Url": "https://ows.omeda.com/x"})


OMEDA_RECEIPT = answer(200, {"ResponseInfo": [{"TrackId": "FOO1", "Url": "u", "SubmissionId": "s"}]})
CANCELLED = "Deployment 'FOO1' has been previously cancelled."
WAS_SENT = "Deployment 'FOO1' was sent on 2029-01-01 10:00."

DEPLOYMENT_CANCEL = Case(
    omeda.CANCEL, CancelDeployment(brand="FOO", track_id="FOO1", user_id="omailAccount1"), OMEDA_RECEIPT
)
NEW_DEPLOYMENT = Deployment(
    deployment_name="Weekly",
    deployment_date=datetime(2031, 1, 1, 12, tzinfo=UTC),
    deployment_type_id=124,
    owner_user_id="omailuser1",
    track_opens=True,
    track_links=True,
    splits=1,
)
DEPLOYMENT_CREATE = Case(omeda.CREATE, CreateDeployment(brand="FOO", deployment=NEW_DEPLOYMENT, now=NOW), OMEDA_RECEIPT)
DEPLOYMENT_CLONE = Case(
    omeda.CLONE,
    CloneDeployment(brand="FOO", track_id="FOO6", deployment_date=datetime(2031, 1, 1, 12, tzinfo=UTC), now=NOW),
    OMEDA_RECEIPT,
)
CAMPAIGN_CANCEL = Case(ocamba.CANCEL, CampaignCancel("1000248", "a reason"), answer(204))
TRANSACTION_CANCEL = Case(journey_manager.CANCEL, TransactionCancel("15d0", "a reason"), answer(200))
OPT_OUT_RECEIPT = answer(200, {"SubmissionId": "762eae76", "Success": "Your submission was successful"})
OPT_OUTS = Case(
    omeda.SUBMIT_OPT_OUTS,
    SubmitOptOuts(client="foo", opt_outs=(ClientOptOut("a@b.example"),)),
    OPT_OUT_RECEIPT,
)
UPDATE = Case(
    omeda.UPDATE,
    UpdateDeployment(
        brand="FOO",
        track_id="FOO1",
        update=DeploymentUpdate(owner_user_id="omailuser1", track_opens=True, track_links=True),
        now=NOW,
    ),
    OMEDA_RECEIPT,
)
HARMLESS = (DEPLOYMENT_CANCEL, UPDATE, OPT_OUTS, CAMPAIGN_CANCEL, TRANSACTION_CANCEL)
ALL = (*HARMLESS, DEPLOYMENT_CREATE, DEPLOYMENT_CLONE)
HTML = answer(200, text="<html>hello</html>", Content_Type="text/html")


def unread(status: int) -> UnreadableAnswer:
    """An answer too large to be read."""
    return UnreadableAnswer("the answer is larger than 16 MiB", sent=True, status=status)


def name_of(case: object) -> str | None:
    """The name of a case's operation, with its provider."""
    return f"{case.operation.provider}.{case.operation.name}" if isinstance(case, Case) else None


def search(*rows: dict[str, Any]) -> Response:
    """What a search finds."""
    return answer(200, {"Deployments": list(rows)})


OPEN = [
    (DEPLOYMENT_CANCEL, deployment("Scheduled")),
    (CAMPAIGN_CANCEL, campaign("running")),
    (TRANSACTION_CANCEL, transaction("Saved")),
]
READ_FIRST = [
    (CAMPAIGN_CANCEL, campaign("canceled"), campaign("sent"), campaign("running")),
    (TRANSACTION_CANCEL, transaction("Abandoned"), transaction("Completed"), transaction("Saved")),
]
DOUBTS = [lost(), lost(timed_out=True), answer(500, text=""), answer(502, text=""), answer(504, text=""), HTML]
DOUBTS += [unread(200), unread(500), unread(502), unread(504), answer(600, text=""), unread(600)]
DOUBTS += [omeda_error(500, "x"), omeda_error(600, "x")]
