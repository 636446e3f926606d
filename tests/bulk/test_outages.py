"""A provider that goes away in the middle of a run: it may come back, and if it does not, the run stops."""

import asyncio
from pathlib import Path

import pytest

from omeda_async import OcambaSettings, OutcomeStatus, SessionManager
from omeda_async.bulk._common_cause import OUTAGE, SILENT, CommonCause
from omeda_async.errors import AnswerLost, BadRequest, ConnectionFailed, OmedaAsyncError, ServerError, UnreadableAnswer
from omeda_async.providers.ocamba._operations import CANCEL
from omeda_async.settings import RetryPolicy
from tests.bulk.test_never_reached import BAD_GATEWAY, Counted

DONE, FAILED, NOT_SENT, UNKNOWN = (
    OutcomeStatus.DONE,
    OutcomeStatus.FAILED,
    OutcomeStatus.NOT_SENT,
    OutcomeStatus.UNKNOWN,
)
OWN = b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n"


def now() -> float:
    return asyncio.get_running_loop().time()


def manager_at(port: int) -> SessionManager:
    retry = RetryPolicy(attempts=2, base_delay=4.0)
    url = f"http://127.0.0.1:{port}"
    return SessionManager(ocamba=OcambaSettings(token="t-123456", base_url=url, retry=retry, timeout=5.0))


class Dying:
    """A server of Ocamba's that answers so many requests, and then as it is told; it may stop listening."""

    def __init__(self, good: int, then: bytes | None, until: float = float("inf")) -> None:
        self._counted = Counted(self._answer)
        self._good = good
        self._then = then
        self._until = until
        self.server: asyncio.Server

    async def start(self) -> SessionManager:
        """Listen, and return a manager for it."""
        self.server = await asyncio.start_server(self._counted, "127.0.0.1", 0)
        return manager_at(self.server.sockets[0].getsockname()[1])

    def _answer(self, number: int) -> bytes:
        if number <= self._good or now() > self._until:
            return b"HTTP/1.1 204 X\r\nConnection: close\r\n\r\n" if self._then is None else b"HTTP/1.1 204 X\r\n\r\n"
        if self._then is None:
            self.server.close()
        return self._then or b""


@pytest.mark.parametrize("then", [None, BAD_GATEWAY], ids=["no longer there", "502"])
async def test_a_provider_that_goes_away_for_good_stops_the_run(then: bytes | None) -> None:
    """After a minute, and some records that have used up their attempts: the others are not sent, and are told why."""
    dying = Dying(5, then)
    async with await dying.start() as manager:
        run = manager.ocamba.campaigns.cancel_many([str(number) for number in range(1000)])
        report = await run
    dying.server.close()
    assert report.counts[DONE] >= 5
    assert report.counts[NOT_SENT] >= 940
    assert report.counts.keys() <= {DONE, FAILED, UNKNOWN, NOT_SENT}
    assert OUTAGE <= now() <= 4 * OUTAGE
    assert "no answer for" in str(run.stopped_by)
    assert any(
        one.error is not None and "no answer for" in str(one.error) for one in report.failures if one.status is NOT_SENT
    )


async def test_a_provider_that_comes_back_in_time_stops_nothing() -> None:
    """A restart or a passing trouble of the network: some records fail, and fewer and fewer are begun meanwhile."""
    dying = Dying(5, BAD_GATEWAY, until=40.0)
    async with await dying.start() as manager:
        run = manager.ocamba.campaigns.cancel_many([str(number) for number in range(100)])
        report = await run
    dying.server.close()
    assert run.stopped_by is None
    assert report.total == 100
    assert report.total - report.counts[DONE] <= 24


async def test_what_a_provider_says_itself_stops_nothing() -> None:
    """A 500 is of the record, as far as anybody can tell."""
    dying = Dying(5, OWN)
    async with await dying.start() as manager:
        run = manager.ocamba.campaigns.cancel_many([str(number) for number in range(24)], explain=False)
        report = await run
    dying.server.close()
    assert (run.stopped_by, report.total, report.counts.get(NOT_SENT)) == (None, 24, None)


async def test_a_run_that_was_stopped_for_an_outage_goes_on_with_its_journal(tmp_path: Path) -> None:
    """Once the provider is back the same call sends what was not, and settles what is unknown."""
    ids = [str(number) for number in range(60)]
    dying = Dying(5, None)
    async with await dying.start() as manager:
        report = await manager.ocamba.campaigns.cancel_many(ids, journal=tmp_path / "run.sqlite3")
        port = int(manager.ocamba._account.url.rpartition(":")[2])
    assert report.counts[NOT_SENT] >= 10
    server = await asyncio.start_server(Counted(lambda _: b"HTTP/1.1 204 X\r\n\r\n"), "127.0.0.1", port)
    async with server, manager_at(port) as manager:
        report = await manager.ocamba.campaigns.cancel_many(ids, journal=tmp_path / "run.sqlite3")
    assert report.counts.keys() <= {DONE, OutcomeStatus.ALREADY_DONE, UNKNOWN}
    assert report.total == 60


def refused() -> OmedaAsyncError:
    return ConnectionFailed("nobody listens", cause="refused")


@pytest.mark.parametrize(
    "sign",
    [None, BadRequest("no such campaign", status=400), ServerError("broken", status=500, sent=True)],
    ids=["a success", "a refusal", "a 500"],
)
async def test_any_word_of_the_providers_ends_the_suspicion(sign: OmedaAsyncError | None) -> None:
    """Counted are records in a row, across all that are under way."""
    cause = CommonCause(CANCEL)
    cause.took()
    for _ in range(SILENT - 1):
        assert not cause.suspects(refused())
    await asyncio.sleep(2 * OUTAGE)
    cause.suspects(sign)
    assert not cause.suspects(refused())
    assert cause.rest() == 0.0


SILENCE = [
    refused(),
    AnswerLost("cut", sent=True),
    UnreadableAnswer("a page", status=200, sent=True),
    *(ServerError("no way", status=status, sent=True) for status in (502, 503, 504, 520)),
]


@pytest.mark.parametrize("silence", SILENCE, ids=repr)
async def test_all_that_is_no_word_of_the_providers_is_silence(silence: OmedaAsyncError) -> None:
    """Whatever a network, a gateway or a page in the place of an answer makes of it; a page under a 4xx ends none."""
    cause = CommonCause(CANCEL)
    cause.took()
    for _ in range(SILENT - 1):
        assert not cause.suspects(silence)
    cause.suspects(BadRequest("a page", status=400, sent=True))
    await asyncio.sleep(OUTAGE)
    assert cause.suspects(silence)
    assert cause.is_certain
    told = cause.cause(silence)
    assert (type(told), "no answer for 60 s, to 8 requests in a row" in str(told)) == (type(silence), True)
    assert "no answer for" not in str(silence)


async def test_a_host_that_has_answered_anything_is_not_one_that_is_never_reached() -> None:
    """Four records without a connection stop a run only where nothing ever came."""
    never, once = CommonCause(CANCEL), CommonCause(CANCEL)
    once.suspects(BadRequest("no such campaign", status=400))
    assert [never.suspects(refused()) for _ in range(4)] == [True] * 4
    assert [once.suspects(refused()) for _ in range(4)] == [False] * 4
    assert (never.is_certain, once.is_certain) == (True, False)


@pytest.mark.parametrize(("status", "redirects"), [(299, False), (300, True), (399, True), (400, False)])
async def test_redirects_are_those_from_300_to_399(status: int, redirects: bool) -> None:
    """Four in a row stop a run, whatever was done before them."""
    cause = CommonCause(CANCEL)
    cause.took()
    told = [cause.suspects(UnreadableAnswer("x", status=status)) for _ in range(4)]
    assert told == [redirects] * 4
    assert cause.is_certain is redirects


async def test_neither_many_records_nor_a_long_time_alone_is_an_outage() -> None:
    """It takes both."""
    cause = CommonCause(CANCEL)
    cause.took()
    assert not any(cause.suspects(refused()) for _ in range(10 * SILENT))
    await asyncio.sleep(OUTAGE)
    assert cause.suspects(AnswerLost("cut", sent=True))
    assert cause.is_certain
    few = CommonCause(CANCEL)
    few.took()
    assert not few.suspects(refused())
    await asyncio.sleep(10 * OUTAGE)
    assert not few.suspects(refused())


async def test_a_provider_that_has_done_something_meanwhile_is_not_away() -> None:
    """However long the record has taken whose failure is the first."""
    cause = CommonCause(CANCEL)
    cause.took()
    await asyncio.sleep(1000)
    long_ago, lately = now() - 290 + 300, now() - 5 + 300
    cause.alive = lately
    assert not any(cause.suspects(refused(), deadline=one) for one in [long_ago, *[lately] * 2 * SILENT])
    await asyncio.sleep(OUTAGE)
    assert cause.suspects(refused(), deadline=lately)


async def test_records_are_begun_more_and_more_slowly_while_a_provider_is_away() -> None:
    """The first few are not held back; then the pauses double, up to the policy's longest."""
    cause = CommonCause(CANCEL)
    cause.took()
    rests = []
    for _ in range(30):
        cause.suspects(refused())
        rests.append(cause.rest())
    assert rests[:4] == [0.0] * 4
    assert 0.5 <= rests[4] <= 0.625
    assert 30.0 <= rests[-1] <= 37.5


async def test_a_large_batch_without_an_answer_says_nothing_of_the_provider() -> None:
    """That may be for its size, which is found out first."""
    cause = CommonCause(CANCEL)
    cause.took()
    for _ in range(2 * SILENT):
        cause.suspects(AnswerLost("cut", sent=True), lone=False)
    await asyncio.sleep(OUTAGE)
    assert not cause.suspects(AnswerLost("cut", sent=True), lone=False)


async def test_a_stop_ends_the_pause_between_records() -> None:
    """Nobody waits for it."""
    dying = Dying(2, BAD_GATEWAY)
    async with await dying.start() as manager:
        run = manager.ocamba.campaigns.cancel_many([str(number) for number in range(500)], deadline=45.0)
        await run
    dying.server.close()
    assert now() <= 52.0
