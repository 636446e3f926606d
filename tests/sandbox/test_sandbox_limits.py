"""The sandbox's limits: fixed windows, a parallel cap, what it says about them, and the audit's verdict."""

import asyncio
import re
from typing import Any

import aiohttp
import pytest

from omeda_async.sandbox import Fault, Sandbox

CAMPAIGNS = "/v1/hood/campaigns"


def _limits(**options: Any) -> Any:
    usual: dict[str, Any] = {"windows": ((2, 1.0), (5, 60.0)), "parallel": 2}
    limits = Sandbox(**{f"ocamba_{name}": value for name, value in (usual | options).items()}).limits
    for window, phase in zip(limits.windows, (0.25, 10.0), strict=False):
        window.phase = phase
    return limits


def test_a_fixed_window_is_full_until_its_end() -> None:
    """Two a second, in windows that begin a quarter past: the third waits for the next."""
    limits = _limits()
    refused = [limits.admit(now, 0).refused for now in (0.3, 0.4, 1.2, 1.25)]
    assert refused == [False, False, True, False]


def test_all_windows_hold_at_once() -> None:
    """Within every second, and yet over the minute."""
    limits = _limits()
    refused = [limits.admit(20.0 + number, 0).refused for number in range(6)]
    assert refused == [False] * 5 + [True]
    assert not limits.admit(70.0, 0).refused


def test_a_refusal_says_in_whole_seconds_when_to_come_back() -> None:
    """The longest of the windows that are full decides, rounded up, at least one."""
    limits = _limits(count_refused=False)
    for now in (20.0, 20.1):
        limits.admit(now, 0)
    assert limits.admit(20.2, 0).headers == {"Retry-After": "1"}
    for now in (21.3, 21.4, 22.3):
        limits.admit(now, 0)
    assert limits.admit(22.4, 0).headers == {"Retry-After": "48"}


def test_refused_requests_count_unless_told_otherwise() -> None:
    """The second window's refusals spend the minute too."""
    strict, mild = _limits(), _limits(count_refused=False)
    for limits in (strict, mild):
        for number in range(5):
            limits.admit(20.3 + number / 100, 0)
    assert strict.admit(22.0, 0).refused
    assert not mild.admit(22.0, 0).refused


def test_too_many_in_parallel_get_minus_one() -> None:
    """No waiting time applies to them."""
    limits = _limits()
    assert not limits.admit(20.0, 1).refused
    assert limits.admit(20.1, 2).headers == {"Retry-After": "-1"}
    assert limits.findings() == ["1 requests were refused with 429", "3 requests at once, 2 are allowed"]


@pytest.mark.parametrize(
    ("options", "headers"),
    [
        ({}, ("5", "4", "50")),
        ({"rounding": "floor"}, ("5", "4", "49")),
        ({"rounding": "round"}, ("5", "4", "50")),
        ({"rounding": "exact"}, ("5", "4", "49.6")),
        ({"headers": "shortest", "rounding": "exact"}, ("2", "1", "0.85")),
    ],
)
def test_headers_describe_the_window_that_was_set(options: dict[str, Any], headers: tuple[str, ...]) -> None:
    """Which window they are about, and how Reset is rounded, is not documented."""
    assert tuple(_limits(**options).admit(20.4, 0).headers.values()) == headers


def test_headers_can_be_off() -> None:
    """Then a client has the windows alone to go by."""
    assert _limits(headers="off").admit(20.4, 0).headers == {}
    assert _limits(retry_after=False).admit(20.4, 2).headers == {}


def test_the_verdict_tells_spans_of_any_phase_too() -> None:
    """Two at the end of a window and two at the beginning of the next pass the server, not this look."""
    limits = _limits(windows=((2, 1.0),), parallel=None)
    for now in (1.05, 1.15, 1.25, 1.35):
        assert not limits.admit(now, 0).refused
    assert limits.findings() == []
    assert limits.findings(any_phase=True) == ["4 requests in some span of 1 s, 2 are allowed"]


@pytest.mark.parametrize(
    "options",
    [
        {"ocamba_windows": ((0, 1.0),)},
        {"ocamba_windows": ((10, 0.0),)},
        {"ocamba_parallel": 0},
        {"ocamba_rounding": "up"},
        {"ocamba_headers": "both"},
    ],
)
def test_limits_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    """At construction, not at the first request."""
    with pytest.raises(ValueError, match=r"must be|ocamba_parallel"):
        Sandbox(**options)


def test_phases_come_from_the_seed() -> None:
    """The same seed gives the same windows, another one others."""
    phases = [[window.phase for window in Sandbox(seed=seed).limits.windows] for seed in (1, 1, 2)]
    assert phases[0] == phases[1] != phases[2]
    assert all(0 <= window.phase < window.seconds for window in Sandbox(seed=5).limits.windows)


async def test_the_eleventh_in_a_second_is_refused_without_effect(api: Any) -> None:
    """429, Retry-After, no X-RateLimit, the campaign untouched, and the audit has seen it."""
    api.sandbox.ocamba.seed_campaigns(str(number) for number in range(11))
    replies = [await api.cancel_campaign(str(number)) for number in range(11)]
    last = replies[-1]
    assert [reply.status for reply in replies] == [204] * 10 + [429]
    assert last.headers["Retry-After"] == "1"
    assert not [name for name in last.headers if name.startswith("X-RateLimit")]
    assert replies[3].headers["X-RateLimit-Limit"] == "150"
    assert replies[3].headers["X-RateLimit-Remaining"] == "146"
    assert api.sandbox.ocamba.campaigns["10"].status == "running"
    assert [one.refused for one in api.sandbox.requests] == [False] * 10 + [True]
    with pytest.raises(AssertionError, match=re.escape("1 requests were refused with 429; ocamba: 11 requests")):
        api.sandbox.assert_never_over_limit()


async def test_a_client_that_keeps_to_the_limit_passes_the_audit(api: Any) -> None:
    """Ten, a second and a window's guard, ten more."""
    api.sandbox.ocamba.seed_campaigns(str(number) for number in range(20))
    for number in range(20):
        if number == 10:
            await asyncio.sleep(1.01)
        assert (await api.cancel_campaign(str(number))).status == 204
    api.sandbox.assert_never_over_limit()
    api.sandbox.assert_never_over_limit(any_phase=True)
    assert api.sandbox.audit.busiest("ocamba", 1.0) == 10


async def test_the_parallel_cap_is_enforced_on_the_socket() -> None:
    """Four at once where three may: one gets minus one, and the time it takes is the loop's."""
    async with Sandbox(ocamba_parallel=3, latency=0.5) as sandbox, aiohttp.ClientSession() as session:
        headers = {"Authorization": f"Bearer {sandbox.ocamba_token}"}

        async def read() -> tuple[int, str | None]:
            async with session.get(sandbox.url + CAMPAIGNS, headers=headers) as response:
                return response.status, response.headers.get("Retry-After")

        answers = await asyncio.gather(*(read() for _ in range(4)))
        assert sorted(answers, key=str) == [(200, None)] * 3 + [(429, "-1")]
        assert sandbox.audit.peak_parallel["ocamba"] == 4


async def test_an_abandoned_request_is_no_longer_in_flight() -> None:
    """A client that hung up does not block the parallel cap."""
    async with Sandbox(ocamba_parallel=1) as sandbox, aiohttp.ClientSession() as session:
        headers = {"Authorization": f"Bearer {sandbox.ocamba_token}"}
        sandbox.fault(Fault("slow", "before", seconds=30.0))
        with pytest.raises(TimeoutError):
            await session.get(sandbox.url + CAMPAIGNS, headers=headers, timeout=aiohttp.ClientTimeout(1))
        async with session.get(sandbox.url + CAMPAIGNS, headers=headers) as response:
            assert response.status == 200


async def test_a_fault_that_says_429_is_no_offence(api: Any) -> None:
    """The verdict is about the client, and nobody was over a limit."""
    api.sandbox.fault(Fault("429"))
    assert (await api.cancel_campaign("1")).status == 429
    api.sandbox.assert_never_over_limit()
