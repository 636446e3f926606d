"""Help for the tests of programs that use this library, and for its own: a moved clock, and mocked responses.

The providers themselves are in :mod:`omeda_async.sandbox`, and fixtures for both in :mod:`omeda_async.pytest_plugin`.
"""

import asyncio
import selectors
import threading
from collections.abc import Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from unittest import mock

from omeda_async import _clock

if TYPE_CHECKING:
    from aioresponses import aioresponses

__all__ = ["MovedClockLoop", "mocked_responses", "run_moved"]

T = TypeVar("T")
_TICK = 1e-9


class _MovingSelector(selectors.DefaultSelector):
    """Instead of waiting for a timer, move the loop's clock to it; real input is given a moment to arrive first."""

    def __init__(self, patience: float) -> None:
        super().__init__()
        self.now = 0.0
        self.loop: asyncio.AbstractEventLoop | None = None
        self._patience = patience

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.now += _TICK
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        # The loop's own wake-up pipe is always registered; anything more can bring input, and so can a thread.
        outside = len(self.get_map()) > 1 or threading.active_count() > 1
        ready = super().select(self._patience if outside else 0)
        while not ready and any(one.get_loop() is self.loop for one in tuple(_clock.outside)):
            ready = super().select(self._patience)
        if not ready and outside:
            ready = super().select(0)  # a thread that has ended just now had told so before
        if not ready:
            self.now += timeout
        return ready


class MovedClockLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock starts at 0 and jumps to the next timer whenever nothing else is left to do.

    Sockets on this machine work as ever: before each jump the loop waits ``patience`` seconds of real time for
    input from them, or from threads; while a journal is being written it does not jump at all. The clock ticks a
    nanosecond a pass, so that nothing sees it stand still.

    Args:
        patience: Seconds of real time granted to sockets and threads before the clock moves.
    """

    def __init__(self, patience: float = 0.002) -> None:
        self._moving = _MovingSelector(patience)
        super().__init__(self._moving)
        self._moving.loop = self

    def time(self) -> float:
        """Return the moved time in seconds."""
        return self._moving.now

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ARG002, ASYNC109 the loop's signature
        """Wait for the threads of the default executor to end: in real time, of which this clock tells nothing."""
        await super().shutdown_default_executor()


def run_moved(main: Coroutine[Any, Any, T], *, debug: bool = True, patience: float = 0.002) -> T:
    """Run a coroutine on a loop with a moved clock, as ``asyncio.run`` would on a real one."""
    with asyncio.Runner(debug=debug, loop_factory=lambda: MovedClockLoop(patience)) as runner:
        return runner.run(main)


def mocked_responses(**options: Any) -> "AbstractContextManager[aioresponses]":
    """Answer requests in place of aiohttp's client, with aioresponses, which must be installed.

    It is ``aioresponses(**options)``, and its object is given; but it works on aiohttp 3.14 as well, where release
    0.7.9 ends every request with ``TypeError: ... missing ... 'stream_writer'``. Nothing of headers, bodies or
    connections that aiohttp itself makes is exercised: for behaviour, :class:`omeda_async.sandbox.Sandbox` is nearer to
    the truth.

    Args:
        options: What ``aioresponses`` takes, such as ``passthrough=["http://127.0.0.1"]``.

    Raises:
        ModuleNotFoundError: aioresponses is not installed.
    """
    import aiohttp  # noqa: PLC0415 who moves the clock alone needs neither
    from aioresponses import aioresponses, core  # noqa: PLC0415 the same

    response = partial(aiohttp.ClientResponse, stream_writer=mock.Mock(output_size=0))

    @contextmanager
    def mocking() -> "Iterator[aioresponses]":
        with mock.patch.object(core, "ClientResponse", response), aioresponses(**options) as mocked:
            yield mocked

    return mocking()
