"""That a run sends nothing new any more, and why."""

from collections.abc import Callable

from omeda_async.errors import ClosedError, OmedaAsyncError


class Stop:
    """A state that every part of a run looks at before it goes on, and that wakes those who wait.

    Args:
        also: Whether nothing new is to be sent for another reason.
    """

    def __init__(self, also: Callable[[], bool] = lambda: False) -> None:
        self.cause: OmedaAsyncError | None = None
        """Why the run was stopped; None while it was not."""
        self.failure: BaseException | None = None
        """What went wrong besides the records' own outcomes: the first of it is raised when the run has ended."""
        self.wakers: set[Callable[[], None]] = set()
        """Called once, when it is stopped."""
        self._also = also

    def is_set(self) -> bool:
        """Whether nothing new is to be sent."""
        return self.cause is not None or self._also()

    def set(self, cause: OmedaAsyncError) -> None:
        """Stop for a cause; a second one changes nothing."""
        if self.cause is None:
            self.cause = cause
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
