"""The sandbox as it is used: its options, its life, and what came of it."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from types import TracebackType
from typing import Self

import attrs

from omeda_async.sandbox._audit import Audit, RequestRecord
from omeda_async.sandbox._deployment_rules import Directory
from omeda_async.sandbox._exchange import Exchange
from omeda_async.sandbox._faults import Fault, Faults
from omeda_async.sandbox._journey_manager import Auth, JourneyManagerSandbox
from omeda_async.sandbox._latency import Latency, latency_of
from omeda_async.sandbox._message import Api
from omeda_async.sandbox._ocamba import OcambaSandbox
from omeda_async.sandbox._omeda import OmedaSandbox
from omeda_async.sandbox._server import Server
from omeda_async.sandbox._state import State
from omeda_async.sandbox._windows import Described, Limits, Rounding


@attrs.define(kw_only=True, eq=False)
class Sandbox:
    """Omeda, Ocamba Hood and Journey Manager, emulated on 127.0.0.1.

    ``async with Sandbox() as sandbox:`` starts it and stops it. Everything random in it comes from ``seed``;
    all time but the wall clock ``now`` is that of the running loop, so a loop with a moved clock drives it.
    """

    host: str = "127.0.0.1"
    port: int = 0
    """0 takes a free one; ``url`` tells which."""
    hosts: tuple[str, ...] = ()
    """Further names by which clients call it; requests for other hosts are refused."""
    seed: int = 0
    latency: Latency = attrs.field(default=Latency(), converter=latency_of)
    """One-way: seconds, (mean, spread), or a Latency."""
    now: Callable[[], datetime] = attrs.field(default=lambda: datetime.now(UTC), repr=False)
    """The wall clock, an aware datetime: which dates are in the past."""
    app_id: str = attrs.field(default="11111111-1111-1111-1111-111111111111", repr=False)
    brand: str = "FOO"
    client: str = "foo_client"
    user_id: str = "omailAccount1"
    ocamba_token: str = attrs.field(default="sandbox-token", repr=False)
    ocamba_windows: tuple[tuple[int, float], ...] = ((10, 1.0), (150, 60.0))
    """Requests and seconds of each fixed window."""
    ocamba_parallel: int | None = 10
    """Requests that may be in flight at once; None: any number."""
    ocamba_headers: Described = "longest"
    """Which window ``X-RateLimit-*`` describe."""
    ocamba_rounding: Rounding = "ceil"
    """How ``X-RateLimit-Reset`` is rounded."""
    ocamba_retry_after: bool = True
    """Whether a refusal carries ``Retry-After``."""
    ocamba_count_refused: bool = True
    """Whether refused requests count against the windows."""
    journey_manager_user: str = "sandbox"
    journey_manager_password: str = attrs.field(default="sandbox-password", repr=False)
    journey_manager_token: str = attrs.field(default="sandbox-bearer", repr=False)
    journey_manager_auth: tuple[Auth, ...] = ("basic",)
    """Of ``basic``, ``bearer`` and ``session``, those that are open."""
    keep_requests: int = 100_000
    """How many requests the audit remembers one by one."""

    omeda: OmedaSandbox = attrs.field(init=False)
    ocamba: OcambaSandbox = attrs.field(init=False)
    journey_manager: JourneyManagerSandbox = attrs.field(init=False)
    _state: State = attrs.field(init=False, repr=False)
    _server: Server = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self.omeda = OmedaSandbox(
            app_id=self.app_id,
            brand=self.brand,
            client=self.client,
            user_id=self.user_id,
            now=self.now,
            directory=_directory(self.user_id),
        )
        self.ocamba = OcambaSandbox(token=self.ocamba_token)
        self.journey_manager = JourneyManagerSandbox(
            user=self.journey_manager_user,
            password=self.journey_manager_password,
            token=self.journey_manager_token,
            auth=self.journey_manager_auth,
            now=self.now,
        )
        self._state = State(
            seed=self.seed,
            keep_requests=self.keep_requests,
            make_limits=partial(
                Limits.of,
                self.ocamba_windows,
                parallel=self.ocamba_parallel,
                described=self.ocamba_headers,
                rounding=self.ocamba_rounding,
                retry_after=self.ocamba_retry_after,
                count_refused=self.ocamba_count_refused,
            ),
            omeda=self.omeda,
            ocamba=self.ocamba,
            journey_manager=self.journey_manager,
        )
        self._server = Server(Exchange(self._state, self.latency), (self.host, *self.hosts))

    async def start(self) -> None:
        """Start to listen.

        Raises:
            OSError: The port is taken.
        """
        await self._server.start(self.host, self.port)
        self.omeda.url = self.url

    async def stop(self) -> None:
        """Stop listening; requests still in work are dropped."""
        await self._server.stop()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def url(self) -> str:
        """Return the base URL of Omeda and Ocamba; Journey Manager's is this and ``/workspaces``.

        Raises:
            RuntimeError: The sandbox is not running.
        """
        url = self._server.url
        if url is None:
            raise RuntimeError("the sandbox is not running: use it as 'async with Sandbox() as sandbox'")
        return url

    def settings_env(self) -> dict[str, str]:
        """Return the environment variables that make a client use this sandbox."""
        env = {
            "OMEDA_APP_ID": self.omeda.app_id,
            "OMEDA_BRAND": self.brand,
            "OMEDA_CLIENT": self.client,
            "OMEDA_USER_ID": self.user_id,
            "OMEDA_BASE_URL": self.url,
            "OCAMBA_TOKEN": self.ocamba.token,
            "OCAMBA_BASE_URL": self.url,
            "JOURNEY_MANAGER_BASE_URL": f"{self.url}/workspaces",
        }
        if "basic" not in self.journey_manager.auth and "bearer" in self.journey_manager.auth:
            return env | {"JOURNEY_MANAGER_TOKEN": self.journey_manager.token}
        return env | {
            "JOURNEY_MANAGER_USERNAME": self.journey_manager.user,
            "JOURNEY_MANAGER_PASSWORD": self.journey_manager.password,
        }

    @property
    def apis(self) -> Mapping[str, Api]:
        """Return how each provider responds, by its name: without a server, latency, limits and faults."""
        return self._state.apis

    @property
    def faults(self) -> Faults:
        """Return the faults in force, and the counts of those that have happened."""
        return self._state.faults

    @property
    def limits(self) -> Limits:
        """Return Ocamba's limits, as the server enforces them."""
        return self._state.limits

    @property
    def audit(self) -> Audit:
        """Return the counts of what arrived."""
        return self._state.audit

    @property
    def requests(self) -> list[RequestRecord]:
        """Return what arrived, in the order of arrival; the last ``keep_requests`` of it."""
        return self.audit.requests

    def fault(self, fault: Fault) -> Fault:
        """Put a fault in force, and return it for a look at ``faults.fired[fault]`` later."""
        self.faults.add(fault)
        return fault

    def over_limit(self, *, any_phase: bool = False) -> list[str]:
        """Return in words where a limit was passed; nothing where all were kept.

        Args:
            any_phase: Look at every span of a window's length, wherever it begins, not only at the windows
                that the server counts by.
        """
        return self._state.over_limit(any_phase=any_phase)

    def assert_never_over_limit(self, *, any_phase: bool = False) -> None:
        """Fail if any limit was ever passed; see ``over_limit``.

        Raises:
            AssertionError: With the figures.
        """
        findings = self.over_limit(any_phase=any_phase)
        if findings:
            raise AssertionError("; ".join(findings))

    def reset(self) -> None:
        """Forget everything that was seeded, arrived or went wrong; what was set stays set."""
        self._state.reset()


def _directory(user_id: str) -> Directory:
    users = {user_id, "omailAccount1", "omailAccount2", "omailuser1"}
    return Directory(
        users=users,
        recommenders=set(users),
        deployment_types={23, 25, 26, 27, 28, 33, 34, 36, 124, 4194, 4804, 4807},
        behaviors={123},
        billing_codes={"O1230001"},
    )


async def serve(
    sandbox: Sandbox, *, faults: Iterable[Fault] = (), ready: Callable[[Sandbox], object] | None = None
) -> None:
    """Run a sandbox until the task is cancelled.

    Args:
        sandbox: One that is not running yet.
        faults: Put in force at the start.
        ready: Called once it listens, with the sandbox.
    """
    sandbox.faults.add(*faults)
    async with sandbox:
        if ready is not None:
            ready(sandbox)
        await asyncio.Event().wait()
