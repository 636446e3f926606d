"""What an earlier process has requested: its slots are held until it is a window old."""

import asyncio

import pytest

from omeda_async.limits import Priority, RateLimit, Window, make_limiter


async def test_slots_are_held_for_what_is_remembered_until_it_is_a_window_old() -> None:
    """The provider's windows still hold it; a single call after that may go."""
    limiter = make_limiter(RateLimit(Window(10, 1.0), Window(150, 60.0)))
    limiter.remember(145, 20.0)
    view = limiter.view()
    assert [window.held for window in view.windows] == [0, 145]
    began = asyncio.get_running_loop().time()
    for _ in range(3):
        await limiter.acquire(priority=Priority.BULK)
    for _ in range(2):
        await limiter.acquire()  # what bulk leaves free
    assert asyncio.get_running_loop().time() == pytest.approx(began, abs=0.1)
    await limiter.acquire()
    assert asyncio.get_running_loop().time() - began == pytest.approx(40.06, abs=0.1)


async def test_what_was_remembered_before_is_not_forgotten_for_less() -> None:
    """A later report of a few requests frees none of the slots that are held."""
    limiter = make_limiter(RateLimit(Window(10, 1.0), Window(150, 60.0)))
    limiter.remember(145, 20.0)
    limiter.remember(10, 0.5)
    assert [window.held for window in limiter.view().windows] == [10, 145]
    await asyncio.sleep(45)
    assert [window.held for window in limiter.view().windows] == [0, 145]


async def test_what_is_long_past_holds_nothing() -> None:
    """A window later the provider has forgotten it."""
    limiter = make_limiter(RateLimit(Window(10, 1.0), Window(150, 60.0)))
    limiter.remember(150, 61.0)
    assert [window.held for window in limiter.view().windows] == [0, 0]
