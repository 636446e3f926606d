"""The session manager: one HTTP session, one limiter for each account, the three provider clients."""

import asyncio
import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property, partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from omeda_async._account import Account, account_key
from omeda_async._activity import Activity
from omeda_async._auth import Credentials, FixedCredentials, Headers, bearer, extended, session
from omeda_async._checks import check_duration, check_flag
from omeda_async._decide import chance
from omeda_async._environment import NEEDS, proxy_variables, settings_from_env
from omeda_async._hooks import Hooks, checked_hooks
from omeda_async._proxies import Network, make_network
from omeda_async._secret import Secret, revealed
from omeda_async._telling import tell_pause
from omeda_async.errors import ConfigurationError
from omeda_async.events import LOGGED_ONLY, Hook, log_event
from omeda_async.limits import check_where, share_limiter
from omeda_async.settings import (
    BasicAuth,
    BearerAuth,
    JourneyManagerSettings,
    OcambaSettings,
    OmedaSettings,
    ProviderSettings,
)

if TYPE_CHECKING:
    from ssl import SSLContext

    from omeda_async._transport import ClientSession, Transport
    from omeda_async.limits import Limiter
    from omeda_async.providers.journey_manager.client import JourneyManagerClient
    from omeda_async.providers.ocamba.client import OcambaClient
    from omeda_async.providers.omeda.client import OmedaClient

C = TypeVar("C")
CLOSE_TIMEOUT = 30.0


class SessionManager:
    """The way to the three providers. Use it with ``async with``, or call :meth:`aclose`.

    The HTTP session is made on first use, on the running loop; a manager belongs to the loop that first used it.

    Args:
        omeda: How to reach Omeda, if it is to be reached.
        ocamba: How to reach Ocamba, if it is to be reached.
        journey_manager: How to reach Journey Manager, if it is to be reached.
        http_session: A session of the caller's to send through; it is never closed here. It has its own way out.
        proxy: The URL of a proxy for all https, with its name and password if it wants them. Plain http, which is for
            this machine alone, goes past it.
        trust_env: Whether ``HTTPS_PROXY`` (or ``ALL_PROXY``) and ``NO_PROXY`` of the environment count, where ``proxy``
            is None. A ``.netrc`` never does.
        ssl: Which certificates are trusted, and which one is shown; None for the system's authorities.
        hooks: Plain functions, each called with every event (see :mod:`omeda_async.events`), on the event loop.
        log_events: Whether events are logged, too: to the logger ``omeda_async``, those of calls at DEBUG.
        share_limits: Where the limits of each account are shared with other processes: the path of a folder or file for
            those of this host, ``redis://…`` or ``postgresql://…`` for those of several. None shares them among the
            managers of this process.

    Raises:
        ConfigurationError: No provider is configured, or something given is of the wrong kind.
    """

    def __init__(
        self,
        *,
        omeda: OmedaSettings | None = None,
        ocamba: OcambaSettings | None = None,
        journey_manager: JourneyManagerSettings | None = None,
        http_session: "ClientSession | None" = None,
        proxy: str | Secret | None = None,
        trust_env: bool = True,
        ssl: "SSLContext | None" = None,
        hooks: Iterable[Hook] = (),
        log_events: bool = True,
        share_limits: str | os.PathLike[str] | None = None,
    ) -> None:
        if omeda is None and ocamba is None and journey_manager is None:
            raise ConfigurationError("no provider is configured: give omeda=, ocamba= or journey_manager=")
        self._http_session = http_session
        self._network = _network(http_session, proxy, ssl, trust_env=trust_env)
        if http_session is not None:
            _ = self._transport  # which refuses a session that will not do
        _check_kind("omeda", omeda, OmedaSettings)
        _check_kind("ocamba", ocamba, OcambaSettings)
        _check_kind("journey_manager", journey_manager, JourneyManagerSettings)
        check_flag("log_events", log_events)
        given = checked_hooks(hooks)
        self._hooks = Hooks((*LOGGED_ONLY, *given) if log_events and log_event not in given else given)
        check_where(share_limits)
        self._share_limits = share_limits
        self._activity = Activity()
        self._accounts: list[Account] = []
        self._omeda = self._ocamba = self._journey_manager = None
        if omeda is not None:
            from omeda_async.providers.omeda.client import OmedaClient  # noqa: PLC0415 a provider that is not used costs nothing to load

            account = self._account("omeda", omeda, _omeda_credentials(omeda), omeda.app_id.reveal())
            self._omeda = OmedaClient(account, omeda)
        if ocamba is not None:
            from omeda_async.providers.ocamba.client import OcambaClient  # noqa: PLC0415 a provider that is not used costs nothing to load

            token = revealed(ocamba.token)
            self._ocamba = OcambaClient(self._account("ocamba", ocamba, bearer(token), _fixed(token)))
        if journey_manager is not None:
            from omeda_async.providers.journey_manager.client import JourneyManagerClient  # noqa: PLC0415 a provider that is not used costs nothing to load

            credentials, user = self._journey_manager_credentials(journey_manager)
            account = self._account("journey_manager", journey_manager, credentials, user)
            self._journey_manager = JourneyManagerClient(account)

    @classmethod
    def from_env(
        cls,
        *,
        http_session: "ClientSession | None" = None,
        proxy: str | Secret | None = None,
        trust_env: bool = True,
        ssl: "SSLContext | None" = None,
        hooks: Iterable[Hook] = (),
        log_events: bool = True,
        share_limits: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Make a manager of the providers that the environment names (``docs/settings.md`` has the variables).

        The arguments are those of the class; without ``share_limits``, ``OMEDA_ASYNC_SHARE_LIMITS`` says it.

        Raises:
            ConfigurationError: A variable is missing, empty or wrong; the message names it.
        """
        found = settings_from_env()
        return cls(
            omeda=found.omeda,
            ocamba=found.ocamba,
            journey_manager=found.journey_manager,
            http_session=http_session,
            proxy=proxy,
            trust_env=trust_env,
            ssl=ssl,
            hooks=hooks,
            log_events=log_events,
            share_limits=found.share_limits if share_limits is None else share_limits,
        )

    @property
    def omeda(self) -> "OmedaClient":
        """Omeda.

        Raises:
            ConfigurationError: It is not configured.
        """
        return _configured(self._omeda, "Omeda", "omeda", OmedaSettings)

    @property
    def ocamba(self) -> "OcambaClient":
        """Ocamba Hood.

        Raises:
            ConfigurationError: It is not configured.
        """
        return _configured(self._ocamba, "Ocamba", "ocamba", OcambaSettings)

    @property
    def journey_manager(self) -> "JourneyManagerClient":
        """Temenos Journey Manager.

        Raises:
            ConfigurationError: It is not configured.
        """
        return _configured(self._journey_manager, "Journey Manager", "journey_manager", JourneyManagerSettings)

    def add_hook(self, hook: Hook) -> None:
        """Call one more function with every event from now on; also those of what is under way, from its next call on.

        Args:
            hook: A plain function that takes an event and does not block.

        Raises:
            ConfigurationError: It is none, or is asynchronous.
        """
        self._hooks.add(hook)

    async def __aenter__(self) -> Self:
        self._transport.bind()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self, timeout: float = CLOSE_TIMEOUT) -> None:  # noqa: ASYNC109 a grace, not a time-out of ours
        """Let the attempts in flight end, stop everything else, and close the session. Doing it again does nothing.

        Args:
            timeout: Seconds that attempts in flight may take.

        Raises:
            ConfigurationError: ``timeout`` is out of range.
            ClosedError: It belongs to another event loop, which is not closed: close it there.

        Cancelling it closes the session at once. Once its event loop is closed nothing is left to be waited for.
        """
        check_duration("timeout", timeout, zero=True)
        if self._transport.is_left_behind():
            await self._transport.aclose()
            return
        try:
            self._activity.stop()
            for account in self._accounts:
                account.limiter.close()
            await self._activity.aclose(timeout)
        finally:
            await self._transport.aclose()
            if self._share_limits is not None:  # what the limiters share with other processes is let go
                async with asyncio.TaskGroup() as group:
                    for account in self._accounts:
                        group.create_task(account.limiter.aclose())

    def __del__(self) -> None:
        transport: Transport | None = vars(self).get("_transport")
        if transport is not None and transport.unclosed:
            text = "unclosed SessionManager: use 'async with' or aclose()"
            warnings.warn(text, ResourceWarning, stacklevel=2, source=self)

    def __reduce__(self) -> str | tuple[Any, ...]:
        raise TypeError("SessionManager holds secrets and a session, and is not pickled")

    @cached_property
    def _transport(self) -> "Transport":
        from omeda_async._transport import Transport  # noqa: PLC0415 aiohttp takes longer to load than all the rest, and a plan needs none

        return Transport(self._http_session, self._network)

    def _account(
        self, provider: str, settings: ProviderSettings, credentials: Credentials, credential: str | None
    ) -> Account:
        key = account_key(provider, settings, credential)
        self._network.proxy_for(settings.url)  # which refuses what is no proxy before anything is to be sent
        account = Account(
            provider=provider,
            settings=settings,
            transport=lambda: self._transport,
            limiter=self._limiter(settings, key, partial(tell_pause, self._hooks, provider)),
            credentials=extended(credentials, {name: value.reveal() for name, value in settings.headers.items()}),
            hooks=self._hooks,
            activity=self._activity,
        )
        self._accounts.append(account)
        return account

    def _limiter(
        self, settings: ProviderSettings, key: tuple[str, str, int | None, bytes], on_pause: Callable[[float], None]
    ) -> "Limiter":
        if self._share_limits is not None:
            return share_limiter(
                settings.rate_limit,
                self._share_limits,
                key,
                timeout=settings.timeout,
                connect_timeout=settings.connect_timeout,
                on_pause=on_pause,
                uniform=chance,
            )
        from omeda_async.limits import make_limiter  # noqa: PLC0415 who only asks for help needs none

        return make_limiter(settings.rate_limit, account=key, on_pause=on_pause, uniform=chance)

    def _journey_manager_credentials(self, settings: JourneyManagerSettings) -> tuple[Credentials, str | None]:
        """Return what signs requests, and what tells whose they are; None where that may change."""
        auth = settings.auth
        if isinstance(auth, BasicAuth):
            secrets = auth.password.reveal(), auth.header.removeprefix("Basic ")
            return FixedCredentials({"Authorization": auth.header}, secrets), auth.user
        if isinstance(auth, BearerAuth):
            token = revealed(auth.token)
            return bearer(token), _fixed(token)
        prepare = auth.prepare

        async def open_session() -> Headers:
            headers: Mapping[str, str] = await prepare(self._transport.session_of(settings.url), settings.url)
            return headers

        return session(open_session), None


def _network(session: object, proxy: object, ssl: object, *, trust_env: bool) -> Network:
    check_flag("trust_env", trust_env)
    if session is not None and (proxy is not None or ssl is not None):
        raise ConfigurationError(
            "http_session has its own way out: give proxy= to it, and ssl= to its connector, or leave http_session out"
        )
    return make_network(proxy, proxy_variables() if trust_env and session is None else {}, ssl)


def _check_kind(name: str, value: object, kind: type[object]) -> None:
    if value is not None and not isinstance(value, kind):
        raise ConfigurationError(f"{name} must be {kind.__name__}, not {type(value).__name__}")


def _fixed(token: object) -> str | None:
    """Return a token that stays the same, or nothing."""
    return token if isinstance(token, str) else None


def _omeda_credentials(settings: OmedaSettings) -> Credentials:
    headers = {"x-omeda-appid": settings.app_id.reveal()}
    if settings.input_id is not None:
        headers["x-omeda-inputid"] = settings.input_id.reveal()
    return FixedCredentials(headers, tuple(headers.values()))


def _configured(client: C | None, name: str, setting: str, kind: type[object]) -> C:
    if client is None:
        raise ConfigurationError(
            f"{name} is not configured: give {setting}={kind.__name__}(…), or for from_env() set {NEEDS[setting]}"
        )
    return client
