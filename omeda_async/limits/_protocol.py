"""What every limiter does, whoever shares it."""

from collections.abc import Mapping
from typing import Protocol

from omeda_async.limits._rate_limit import Priority
from omeda_async.limits._state import Permit
from omeda_async.limits._view import LimitsView


class Limiter(Protocol):
    """Grants the attempts of one account."""

    async def acquire(self, *, priority: Priority = Priority.INTERACTIVE, max_wait: float | None = None) -> Permit:
        """Wait until an attempt may go.

        Cancelling the wait leaves nothing behind: a permit that was granted at the same moment is given back.

        Args:
            priority: The lane to wait in.
            max_wait: Seconds to wait at most; None to wait as long as it takes.

        Raises:
            ConfigurationError: ``max_wait`` is negative or no number.
            LimitWaitExceeded: The wait would pass ``max_wait``; raised at once where that is certain from the start.
            ClosedError: The limiter is closed.
        """
        ...

    def release(
        self, permit: Permit, *, sent: bool = True, status: int | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        """Give a permit back as soon as its attempt has ended; a second time does nothing.

        Args:
            permit: What ``acquire`` returned.
            sent: May the attempt have left the machine? False only when it provably never did.
            status: The HTTP status of the response; None when there was none.
            headers: Those of the response.
        """
        ...

    def remember(self, requests: int, seconds_ago: float) -> None:
        """Count requests that an earlier process has made on the account, as the provider still counts them.

        Args:
            requests: How many, at most.
            seconds_ago: When the last of them was made.
        """
        ...

    def view(self) -> LimitsView:
        """Return what is used, free and waited for now."""
        ...

    def close(self) -> None:
        """Refuse everybody who waits or comes; permits can still be given back."""
        ...

    async def aclose(self) -> None:
        """Close it, and let go of what it shares with other processes: to be called when every permit is back.

        It takes a second at the most; cancelling it ends it at once.
        """
        ...
