"""That nothing new is to be sent, and why."""

from collections.abc import Callable

from omeda_async.errors import ClosedError, OmedaAsyncError


class Stop:
    """A state that every part of a run, or of a session manager, looks at before it goes on."""

    def __init__(self) -> None:
        self.is_set = False
        """Whether nothing new is to be sent."""
        self.cause: OmedaAsyncError | None = None
        """Why it was stopped; None while it was not."""
        self.failure: BaseException | None = None
        """What went wrong besides the records' own outcomes: the first of it is raised when the run has ended."""
        self.wakers: set[Callable[[], None]] = set()
        """Called once, when it is stopped."""

    def set(self, cause: OmedaAsyncError) -> None:
        """Stop for a cause; a second one changes nothing."""
        if self.cause is None:
            self.is_set, self.cause = True, cause
            for wake in list(self.wakers):
                wake()

    def fail(self, error: BaseException) -> None:
        """Note what went wrong; the first counts."""
        self.failure = self.failure or error

    def break_off(self, error: BaseException) -> None:
        """Note what went wrong, and stop for it."""
        self.fail(error)
        cause = error if isinstance(error, OmedaAsyncError) else None
        self.set(cause or ClosedError(f"the run broke off: {type(error).__name__}"))
