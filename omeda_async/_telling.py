"""What is told of one call: the events it has in common, and when."""

import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, TypeVar

from omeda_async import _clock, events
from omeda_async._hooks import Hooks
from omeda_async._operation import Operation
from omeda_async.errors import OmedaAsyncError
from omeda_async.outcomes import OutcomeStatus

_EVERYBODY = "*"


class Made(Protocol):
    """What a call has ended with."""

    @property
    def status(self) -> OutcomeStatus:
        """The outcome of its records."""

    @property
    def attempts(self) -> int:
        """Requests made."""

    @property
    def error(self) -> OmedaAsyncError | None:
        """Why it is not done; None when it is."""


M = TypeVar("M", bound=Made)


def new_id() -> str:
    """Return the id of a run or a call: random, so that those of all processes differ."""
    return secrets.token_hex(8)


def common_fields(
    provider: str, operation: Operation[Any, Any], *, name: str | None = None, run_id: str | None = None
) -> dict[str, Any]:
    """Return what all events of a call or a run say.

    Args:
        provider: Whose it is.
        operation: What is asked for.
        name: What that is called, if it has another name in a run.
        run_id: The run that it belongs to.
    """
    return {
        "provider": provider,
        "operation": name or operation.name,
        "run_id": run_id,
        "method": operation.method,
        "path": operation.path,
    }


class CallEvents:
    """Tells the events of one call, with what they have in common.

    Args:
        hooks: Who hears of it.
        base_url: Where its requests go.
        common: What all its events say.
        records: Records that it is about.
    """

    def __init__(self, hooks: Hooks, base_url: str, common: Mapping[str, Any], records: int) -> None:
        self.call_id = new_id()
        self.common = {**common, "call_id": self.call_id}
        self._hooks = hooks
        self.is_sent = False
        """Whether others have sent its record, so that what becomes of it is not its own to tell."""
        self._base_url = base_url
        self._records = records
        self._began = _clock.now()

    async def of(
        self, make: Callable[[], Awaitable[M]], certain: Callable[[BaseException], Made], made_for: tuple[str, ...] = ()
    ) -> M:
        """Make the call, and tell that it has begun and how it has ended.

        Args:
            make: Makes it.
            certain: Says what is certain as it has raised an error.
            made_for: The calls that it is made for.
        """
        self.tell(events.CallStarted, records=self._records, made_for=made_for)
        try:
            made = await make()
        except BaseException as error:
            self._ended(certain(error), error)
            raise
        self._ended(made, made.error)
        return made

    def attempt_started(self, attempt: int, waited: float) -> None:
        """Tell that a request goes."""
        self.tell(events.AttemptStarted, base_url=self._base_url, attempt=attempt, waited=waited)

    def attempt_ended(self, attempt: int, result: object, *, status: int | None, seconds: float, waited: float) -> None:
        """Tell what has come of it."""
        self.tell(
            events.AttemptEnded,
            base_url=self._base_url,
            attempt=attempt,
            status=status,
            seconds=seconds,
            waited=waited,
            error=error_name(result),
        )

    def _ended(self, made: Made, error: BaseException | None) -> None:
        """Tell what the call has ended with; what its records have ended with, where no run tells that."""
        outcome, seconds = made.status.value, _clock.now() - self._began
        self.tell(events.CallEnded, outcome=outcome, attempts=made.attempts, seconds=seconds, error=error_name(error))
        if self._records and self.common["run_id"] is None:
            self.tell(events.OutcomesReached, counts={outcome: self._records})

    def tell(self, what: type[events.Event], /, **values: Any) -> None:
        """Tell an event of this call."""
        self._hooks.tell(what(**self.common, **values))


def tell_pause(hooks: Hooks, provider: str, seconds: float) -> None:
    """Tell that an account waits, and which call was refused, if that is one of ours."""
    values = hooks.cause or {"provider": provider, "operation": _EVERYBODY}
    hooks.tell(events.AccountPaused(**values, seconds=seconds))


def error_name(result: object) -> str | None:
    """Return the class of what went wrong; None where nothing did."""
    return type(result).__name__ if isinstance(result, BaseException) else None
