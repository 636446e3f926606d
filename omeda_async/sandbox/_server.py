"""One server on the loopback interface that answers as all three providers."""

import asyncio
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from random import Random
from types import TracebackType
from typing import Self

import attrs
from aiohttp import web

from omeda_async.sandbox import _control
from omeda_async.sandbox._audit import Audit, RequestRecord
from omeda_async.sandbox._delivery import half, hang_up, response
from omeda_async.sandbox._deployment_rules import Directory
from omeda_async.sandbox._faults import Fault, FaultKind, FaultPoint, Faults
from omeda_async.sandbox._journey_manager import Auth, JourneyManagerSandbox
from omeda_async.sandbox._latency import Latency, latency_of
from omeda_async.sandbox._message import Answer, Incoming, json_answer
from omeda_async.sandbox._ocamba import OcambaSandbox
from omeda_async.sandbox._omeda import OmedaSandbox
from omeda_async.sandbox._windows import Admission, Described, Limits, Rounding

Provider = OmedaSandbox | OcambaSandbox | JourneyManagerSandbox
_UNLIMITED = Admission(refused=False, headers={})
# aiohttp reads zero as "wait for ever".
_SHUTDOWN_SECONDS = 0.05


@attrs.define(kw_only=True, eq=False)
class Sandbox:
    """Omeda, Ocamba Hood and Journey Manager, emulated on 127.0.0.1.

    ``async with Sandbox() as sandbox:`` starts it and stops it. Everything random in it comes from ``seed``;
    all time but the wall clock ``now`` is that of the running loop, so a loop with a moved clock drives it.
    """

    host: str = "127.0.0.1"
    port: int = 0
    """0 takes a free one; ``url`` tells which."""
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
    faults: Faults = attrs.field(init=False)
    audit: Audit = attrs.field(init=False)
    limits: Limits = attrs.field(init=False)
    """Ocamba's, as the server enforces them."""
    _rng: Random = attrs.field(init=False, repr=False)
    _in_flight: dict[str, set[asyncio.Transport]] = attrs.field(init=False, repr=False)
    _runner: web.ServerRunner | None = attrs.field(default=None, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._begin()
        self.omeda = OmedaSandbox(
            app_id=self.app_id,
            brand=self.brand,
            client=self.client,
            user_id=self.user_id,
            new_id=self._new_id,
            now=self.now,
            directory=_directory(self.user_id),
        )
        self.ocamba = OcambaSandbox(token=self.ocamba_token, new_id=self._new_id, now=self.now)
        self.journey_manager = JourneyManagerSandbox(
            user=self.journey_manager_user,
            password=self.journey_manager_password,
            token=self.journey_manager_token,
            auth=self.journey_manager_auth,
            new_id=self._new_id,
            now=self.now,
        )

    def _begin(self) -> None:
        self._rng = Random(self.seed)  # noqa: S311 - it has to be repeatable, not secret
        self.audit = Audit(self.keep_requests)
        self.faults = Faults(Random(self._rng.random()))  # noqa: S311 - the same
        self._in_flight = {"omeda": set(), "ocamba": set(), "journey_manager": set()}
        self.limits = Limits.of(
            self.ocamba_windows,
            self._rng,
            parallel=self.ocamba_parallel,
            described=self.ocamba_headers,
            rounding=self.ocamba_rounding,
            retry_after=self.ocamba_retry_after,
            count_refused=self.ocamba_count_refused,
        )

    def _new_id(self) -> str:
        return str(uuid.UUID(int=self._rng.getrandbits(128), version=4))

    async def start(self) -> None:
        """Start to listen.

        Raises:
            OSError: The port is taken.
        """
        runner = web.ServerRunner(web.Server(self._handle, access_log=None), shutdown_timeout=_SHUTDOWN_SECONDS)
        await runner.setup()
        try:
            await web.TCPSite(runner, self.host, self.port).start()
        except BaseException:
            await runner.cleanup()
            raise
        self._runner = runner
        self.omeda.url = self.url

    async def stop(self) -> None:
        """Stop to listen; requests still in work are dropped."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

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
        if self._runner is None:
            raise RuntimeError("the sandbox is not running: use it as 'async with Sandbox() as sandbox'")
        host, port = self._runner.addresses[0][:2]
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

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
    def requests(self) -> list[RequestRecord]:
        """Return what arrived, in the order of arrival; the last ``keep_requests`` of it."""
        return self.audit.requests

    def fault(self, fault: Fault) -> Fault:
        """Put a fault in force and give it back, to look up ``faults.fired[fault]`` later."""
        self.faults.add(fault)
        return fault

    def over_limit(self, *, any_phase: bool = False) -> list[str]:
        """Return in words where a limit was passed; nothing where all were kept.

        Args:
            any_phase: Look at every span of a window's length, wherever it begins, not only at the windows
                that the server counts by.
        """
        return [f"ocamba: {finding}" for finding in self.limits.findings(any_phase=any_phase)]

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
        in_flight = self._in_flight
        self._begin()
        self._in_flight = in_flight
        for provider in (self.omeda, self.ocamba, self.journey_manager):
            provider.reset()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            body = await request.content.read()
        except (ConnectionError, web.RequestPayloadError):
            return web.Response(status=400)
        incoming = Incoming(method=request.method, target=request.raw_path, headers=request.headers, body=body)
        if incoming.segments[0] == "_sandbox":
            return response(_control.answer(self, incoming))
        provider = self._provider(incoming.segments[0])
        if provider is None:
            return response(json_answer(404, {"error": "no provider has this path"}))
        await self._trip()
        incoming.arrived_at = asyncio.get_running_loop().time()
        incoming.provider, incoming.operation = provider.name, provider.operation(incoming)
        with self._present(provider.name, request) as beside:
            answer, fault = await self._decide(provider, incoming, beside)
            await self._trip()
            if answer is None:
                hang_up(request)
            elif fault is not None and fault.where is FaultPoint.MID:
                hang_up(request, half(answer))
            return response(answer or Answer(500))

    def _provider(self, segment: str) -> Provider | None:
        match segment:
            case "webservices":
                return self.omeda
            case "v1" | "v2":
                return self.ocamba
            case "workspaces":
                return self.journey_manager
        return None

    async def _trip(self) -> None:
        seconds = self.latency.trip(self._rng)
        if seconds:
            await asyncio.sleep(seconds)

    @contextmanager
    def _present(self, name: str, request: web.BaseRequest) -> Iterator[int]:
        """Count a request as in flight; gives how many there are beside it.

        One whose client has gone is in flight no more.
        """
        others = self._in_flight[name]
        beside = sum(1 for one in others if not one.is_closing())
        self.audit.peak_parallel[name] = max(self.audit.peak_parallel[name], beside + 1)
        transport = request.transport
        if transport is None:
            yield beside
            return
        others.add(transport)
        try:
            yield beside
        finally:
            others.discard(transport)

    async def _decide(self, provider: Provider, incoming: Incoming, beside: int) -> tuple[Answer | None, Fault | None]:
        admission = _UNLIMITED
        if provider is self.ocamba:
            admission = self.limits.admit(incoming.arrived_at, beside)
        fault: Fault | None = None
        answer: Answer | None
        if admission.refused:
            answer = provider.failure(429)
        else:
            fault = self.faults.pick(incoming, provider)
            answer = await self._carry_out(provider, incoming, fault)
        if answer is not None and (admission.refused or answer.status != 429):
            answer = answer.with_headers(admission.headers)
        status = None if answer is None else answer.status
        label = None if fault is None else fault.label
        self.audit.note(incoming, status, refused=admission.refused, fault=label)
        return answer, fault

    async def _carry_out(self, provider: Provider, incoming: Incoming, fault: Fault | None) -> Answer | None:
        if fault is None:
            return provider.answer(incoming)
        if fault.where is FaultPoint.BEFORE:
            if fault.kind is not FaultKind.SLOW:
                return None if fault.kind is FaultKind.DROP else fault.answer(provider)
            await asyncio.sleep(fault.seconds)
        answer = provider.answer(incoming)
        if fault.where is FaultPoint.AFTER:
            if fault.kind is not FaultKind.SLOW:
                return None if fault.kind is FaultKind.DROP else fault.answer(provider)
            await asyncio.sleep(fault.seconds)
        return answer


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
