"""A thread of one's own: what blocks is done there, one thing after the other."""

import asyncio
import os
import weakref
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any, Final, TypeAlias, TypeVar

from omeda_async import _clock
from omeda_async.errors import ClosedError

T = TypeVar("T")
_Task: TypeAlias = tuple[asyncio.Future[Any], Callable[[], Any]]


class Worker:
    """A thread that works for an event loop, from its first task until it is told to end.

    A program that ends does not wait for it, and a loop that is gone does not make it stumble.
    """

    def __init__(self, name: str) -> None:
        tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._tasks: SimpleQueue[_Task | None] | _Closed = tasks
        self._thread = Thread(target=_work, args=(tasks,), name=name, daemon=True)
        # Who forgets to end it leaves no thread behind.
        weakref.finalize(self, tasks.put, None).atexit = False
        _workers.add(self)

    def do(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Call something in the thread; the future gets what it returns or raises.

        Cancelling the future does not break it off: nobody waits for it any more, that is all.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        _clock.outside.add(future)
        self._tasks.put((future, work))
        if self._thread.ident is None:
            self._thread.start()
        return future

    def end(self, *, wait: bool = True) -> None:
        """End the thread when it has done what it was given; wait for that only where it has nothing to do.

        What it is given after that is refused with :exc:`ClosedError`.
        """
        if self._thread.ident is not None:
            self._tasks.put(None)
            self._tasks = _Closed("it was closed before")
            if wait:
                self._thread.join()

    def leave(self) -> None:
        """Leave its thread, if it has one, to the process from which this one was forked, and do nothing any more."""
        if self._thread.ident is not None:
            before = "it was opened before this process was forked: open it after the fork only"
            self._tasks = _Closed(f"{before}, or use a process that is started anew")


class _Closed:
    """Tasks that no thread of this process takes."""

    def __init__(self, why: str) -> None:
        self._why = why

    def put(self, task: _Task | None) -> None:
        """Refuse one."""
        if task is not None:
            _clock.outside.discard(task[0])
            task[0].set_exception(ClosedError(self._why))


_workers: Final[weakref.WeakSet[Worker]] = weakref.WeakSet()


def _leave_all() -> None:
    for worker in [*_workers]:
        worker.leave()


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_leave_all)


def _work(tasks: SimpleQueue[_Task | None]) -> None:
    while (task := tasks.get()) is not None:
        future, work = task
        try:
            tell = partial(future.set_result, work())
        except BaseException as error:  # noqa: BLE001 whoever waits has to be told, whatever it was
            tell = partial(future.set_exception, error)
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            future.get_loop().call_soon_threadsafe(_tell, future, tell)
        _clock.outside.discard(future)
        del task, future, work, tell  # nothing is held while the next is awaited


def _tell(future: asyncio.Future[Any], tell: Callable[[], None]) -> None:
    if not future.done():
        tell()
