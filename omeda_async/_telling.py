"""What is told of one call: the events it has in common, and when."""

import secrets
from collections.abc import Mapping
from typing import Any

from omeda_async import _clock, events
from omeda_async._hooks import Hooks
from omeda_async._operation import Operation

_EVERYBODY = "*"


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
        self.if_cancelled = "not_sent"
        """The outcome that is certain if it is cancelled now, where nothing else says."""
        self._base_url = base_url
        self._records = records
        self._began = _clock.now()

    def started(self, made_for: tuple[str, ...] = ()) -> None:
        """Tell that the call has begun."""
        self.tell(events.CallStarted, records=self._records, made_for=made_for)

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

    def ended(self, outcome: str, attempts: int, error: BaseException | None) -> None:
        """Tell what the call has ended with; what its records have ended with, where no run tells that."""
        seconds = _clock.now() - self._began
        self.tell(events.CallEnded, outcome=outcome, attempts=attempts, seconds=seconds, error=error_name(error))
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
