"""All that a sandbox knows, without the server around it."""

import uuid
from collections.abc import Callable, Mapping
from random import Random

import attrs

from omeda_async.sandbox._audit import Audit
from omeda_async.sandbox._faults import Faults
from omeda_async.sandbox._journey_manager import JourneyManagerSandbox
from omeda_async.sandbox._journey_manager_api import JourneyManagerApi
from omeda_async.sandbox._message import Api, Incoming
from omeda_async.sandbox._ocamba import OcambaSandbox
from omeda_async.sandbox._ocamba_api import OcambaApi
from omeda_async.sandbox._omeda import OmedaSandbox
from omeda_async.sandbox._omeda_api import OmedaApi
from omeda_async.sandbox._windows import Limits

_PROVIDERS = {"webservices": "omeda", "v1": "ocamba", "v2": "ocamba", "workspaces": "journey_manager"}
"""By the first segment of a path."""


@attrs.define(kw_only=True, eq=False)
class State:
    """The three providers, Ocamba's limits, the faults, the audit, and the source of everything random."""

    seed: int
    keep_requests: int
    make_limits: Callable[[Random], Limits]
    omeda: OmedaSandbox
    ocamba: OcambaSandbox
    journey_manager: JourneyManagerSandbox
    apis: Mapping[str, Api] = attrs.field(init=False)
    """By the names of the providers."""
    rng: Random = attrs.field(init=False)
    faults: Faults = attrs.field(init=False)
    audit: Audit = attrs.field(init=False)
    limits: Limits = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._begin()
        self.apis = {
            "omeda": OmedaApi(self.omeda, self.new_id),
            "ocamba": OcambaApi(self.ocamba, self.new_id),
            "journey_manager": JourneyManagerApi(self.journey_manager, self.new_id),
        }

    def _begin(self) -> None:
        self.rng = Random(self.seed)  # noqa: S311 - it has to be repeatable, not secret
        self.audit = Audit(self.keep_requests)
        self.faults = Faults(Random(self.rng.random()))  # noqa: S311 - the same
        self.limits = self.make_limits(self.rng)

    def new_id(self) -> str:
        """Return a new id."""
        return str(uuid.UUID(int=self.rng.getrandbits(128), version=4))

    @property
    def secrets(self) -> tuple[str, ...]:
        """Return the credentials that are let in by now."""
        account = self.journey_manager
        known = (self.omeda.app_id, self.ocamba.token, account.password, account.token, account.session, account.csrf)
        return tuple(secret for secret in known if secret)

    def api_of(self, incoming: Incoming) -> Api | None:
        """Return the provider that has the path of a request, or None."""
        name = _PROVIDERS.get(incoming.segments[0])
        return None if name is None else self.apis[name]

    def over_limit(self, *, any_phase: bool) -> list[str]:
        """Return in words where a limit was passed; see ``Sandbox.over_limit``."""
        return [f"ocamba: {finding}" for finding in self.limits.findings(any_phase=any_phase)]

    def reset(self) -> None:
        """Forget everything that was seeded, arrived or went wrong; what was set stays set."""
        self._begin()
        for provider in (self.omeda, self.ocamba, self.journey_manager):
            provider.reset()
