"""The events of a sandbox: their form, how often they come, and that nobody who reads them can hold it up."""

import asyncio
import json
from itertools import pairwise
from typing import Any

import pytest

from omeda_async.sandbox import Fault, Incoming, OptOut, Sandbox, _sums, _watch
from omeda_async.sandbox._glance import MOST_REQUESTS
from omeda_async.sandbox._watch import MOST_READERS, Watch
from tests.sandbox.watching import watching


def _watch_of(sandbox: Sandbox) -> Watch:
    return sandbox._server._watch


async def _gone(watch: Watch, left: int = 0) -> None:
    while len(watch) > left:  # noqa: ASYNC110 it tells nobody
        await asyncio.sleep(0.05)


async def test_events_are_a_stream_of_lines(api: Any) -> None:
    """As ``EventSource`` reads it, kept by nobody in between; the first tells how things stand."""
    api.sandbox.ocamba.seed_campaigns(["1", "2"])
    await api.cancel_campaign("1")
    async with watching(api.sandbox) as stream:
        assert stream.status == 200
        assert "Content-Type: text/event-stream\r\n" in stream.head
        assert "Cache-Control: no-store\r\n" in stream.head
        told = await stream.event()
    assert told["afresh"]
    assert told["requests"] == {
        "total": 1,
        "by_provider": {"omeda": 0, "ocamba": 1, "journey_manager": 0},
        "by_answer": {"2xx": 1},
    }
    assert told["records"]["campaigns"] == {"canceled": 1, "running": 1}
    (request,) = told["latest"]
    assert (request["operation"], request["status"], request["fault"]) == ("campaigns.cancel", 204, None)
    assert [(one["calls"], one["used"]) for one in told["limits"]["windows"]] == [(10, 1), (150, 1)]


async def test_what_changes_is_told_and_nothing_else(api: Any) -> None:
    """Requests, records that a test puts in place itself, faults, and a window that is empty again."""
    sandbox = api.sandbox
    async with watching(sandbox) as stream:
        assert (await stream.event())["latest"] == []
        sandbox.fault(Fault("503", match="ocamba", times=2))
        assert [one["label"] for one in (await stream.event())["faults"]["armed"]] == ["503 before"]
        sandbox.omeda.seed_deployment("T")
        assert (await stream.event())["records"]["deployments"] == {"Scheduled": 1}
        await api.cancel_campaign("1")
        told = (await stream.until(1))[-1]
        assert (told["latest"][0]["fault"], told["faults"]["fired"]) == ("503 before", {"503 before": 1})
        assert [one["used"] for one in told["limits"]["windows"]] == [1, 1]
        assert [one["used"] for one in (await stream.event())["limits"]["windows"]] == [0, 1]
        assert [one["used"] for one in (await stream.event())["limits"]["windows"]] == [0, 0]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(20):
                await stream.event()


async def test_many_requests_are_gathered_into_few_events() -> None:
    """Five events a second at most; each shows the latest, and tells how many it leaves out."""
    async with Sandbox(ocamba_windows=(), latency=0.001) as sandbox, watching(sandbox) as stream:
        await stream.event()
        for _ in range(300):
            sandbox.audit.note(_incoming(), 200, refused=False, fault=None)
        told = await stream.until(300)
        assert len(told) == 1
        assert len(told[0]["latest"]) == MOST_REQUESTS
        assert told[0]["left_out"] == 300 - MOST_REQUESTS
        times = []
        for number in range(5):
            sandbox.audit.note(_incoming(), 200, refused=False, fault=None)
            times.append((await stream.until(301 + number))[-1]["now"])
        assert all(later - earlier >= 0.2 for earlier, later in pairwise(times))


async def test_a_reset_is_told_as_a_new_beginning(api: Any) -> None:
    """Also where as much has arrived since as was known before."""
    await api.cancel_campaign("1")
    async with watching(api.sandbox) as stream:
        assert (await stream.event())["requests"]["total"] == 1
        api.sandbox.reset()
        await api.cancel_campaign("2")
        told = await stream.event()
        while not told["latest"]:
            told = await stream.event()
        assert told["latest"][0]["path"] == "/v1/hood/campaigns/2/cancel"
        assert told["left_out"] == 0


async def test_addresses_are_masked_and_credentials_shown_nowhere(api: Any) -> None:
    """Neither in events nor in records: ids, names, statuses and faults may hold anything."""
    sandbox = api.sandbox
    for secret in sandbox._state.secrets:
        sandbox.omeda.seed_deployment(secret, secret, name=f"for {secret}")
        await api.get(f"/v1/hood/campaigns/{secret}")
        sandbox.fault(Fault("500", match=f"id-{secret}"))
    campaign = sandbox.ocamba.seed_campaign("ann.lee@example.com", name="dora\uff20example.com")
    campaign.status = "of ben.kay%40example.com"
    sandbox.fault(Fault("500", match="cleo.ray@example.com"))
    sandbox.fault(Fault("500", match=lambda _: False))
    body = {"ClientOptOut": [{"EmailAddress": "eve.oak@example.com"}]}
    await api.post("/webservices/rest/client/foo_client/optoutfilterqueue/*", body)
    async with watching(sandbox) as stream:
        text = json.dumps(await stream.event())
    for kind in ("deployments", "campaigns", "transactions", "opt-outs"):
        text += (await api.get(f"/_sandbox/records?kind={kind}")).body.decode()
    for secret in (*sandbox._state.secrets, "ann.lee", "ben.kay", "dora", "cleo.ray", "eve.oak"):
        assert secret not in text
    for masked in ("a***@example.com", "b***%40example.com", "c***@example.com", "e***@example.com", "a condition"):
        assert masked in text


async def test_more_readers_than_there_are_places_are_refused() -> None:
    """With the time to come back; a place is free again once somebody has gone."""
    async with Sandbox() as sandbox, asyncio.timeout(1000):
        held = [watching(sandbox) for _ in range(MOST_READERS)]
        streams = [await one.__aenter__() for one in held]
        assert [stream.status for stream in streams] == [200] * MOST_READERS
        async with watching(sandbox) as late:
            assert late.status == 503
            assert "Retry-After: 5\r\n" in late.head
        await held.pop().__aexit__(None, None, None)
        await _gone(_watch_of(sandbox), MOST_READERS - 1)
        async with watching(sandbox) as late:
            assert late.status == 200
        for one in held:
            await one.__aexit__(None, None, None)
        await _gone(_watch_of(sandbox))


async def test_a_reader_that_reads_nothing_holds_up_nobody_and_is_let_go(
    api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Little waits for it, others go on, and after a while its place is free."""
    sandbox = api.sandbox
    monkeypatch.setattr(_watch, "glance", lambda *arguments: _long(arguments))
    async with watching(sandbox, limit=1000) as slow, asyncio.timeout(10_000):
        watch = _watch_of(sandbox)
        slow.writer.transport.pause_reading()  # type: ignore[attr-defined]  # of a socket's transport
        (reader,) = watch._readers
        most = 0
        while len(watch):
            sandbox.audit.note(_incoming(), 200, refused=False, fault=None)
            most = max(most, reader.wire.get_write_buffer_size())  # type: ignore[attr-defined]  # the same
            await asyncio.sleep(0.1)
        assert 0 < most < 3_000_000
        assert (await api.get("/v1/hood/campaigns")).status == 200


def _long(arguments: tuple[Any, ...]) -> dict[str, Any]:
    """Make an update that fills a connection soon."""
    state = arguments[0]
    return {"requests": {"total": state.audit.counts.total()}, "filling": "x" * 1_000_000}


async def test_a_sandbox_that_closes_ends_its_streams_at_once(api: Any) -> None:
    """Whether they wait for something to tell, or for somebody to read."""
    async with watching(api.sandbox) as stream, watching(api.sandbox) as stuck:
        stuck.writer.transport.pause_reading()  # type: ignore[attr-defined]  # of a socket's transport
        await stream.event()
        began = asyncio.get_running_loop().time()
        await api.sandbox.stop()
        assert asyncio.get_running_loop().time() - began < 1.0
        assert len(_watch_of(api.sandbox)) == 0
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await stream.until(1)


async def test_a_reader_that_goes_at_once_leaves_no_trace(api: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Whether it is gone before the response begins, or a little later."""
    host, port = api.sandbox.url.removeprefix("http://").split(":")
    for pause in (0, 0, 0.01):
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /_sandbox/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await asyncio.sleep(pause)
        writer.transport.abort()
    assert (await api.get("/_sandbox/state")).status == 200
    await _gone(_watch_of(api.sandbox))
    assert caplog.records == []


async def test_a_sandbox_can_be_watched_again_after_it_was_stopped() -> None:
    """The next start lets readers in."""
    sandbox = Sandbox()
    for _ in range(2):
        async with sandbox, watching(sandbox) as stream:
            assert (await stream.event())["afresh"]


async def test_a_reader_whose_task_is_cancelled_leaves_its_place() -> None:
    """Wherever it waits: in a pause, or to send."""
    sandbox = Sandbox()
    watch = _watch_of(sandbox)
    watch.open()
    for blocked in (False, True):
        sent = asyncio.Event()

        async def write(_data: bytes, sent: asyncio.Event = sent, blocked: bool = blocked) -> None:
            sent.set()
            if blocked:
                await asyncio.Event().wait()

        async def read(write: Any = write) -> None:
            with watch.place(_Wire()) as reader:
                assert reader is not None
                await watch.tell(reader, write)

        async with asyncio.TaskGroup() as group:
            task = group.create_task(read())
            await sent.wait()
            assert len(watch) == 1
            task.cancel()
        assert len(watch) == 0


class _Wire:
    def is_closing(self) -> bool:
        return False

    def abort(self) -> None:
        raise AssertionError


async def test_records_are_counted_a_slice_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others go on between two slices; a second look meanwhile does not count as well."""
    monkeypatch.setattr(_sums, "_SLICE", 2)
    sandbox = Sandbox()
    sandbox.ocamba.seed_campaigns(map(str, range(10)))
    sums = _sums.Sums(sandbox._state)
    async with asyncio.TaskGroup() as group:
        group.create_task(sums.refresh())
        await asyncio.sleep(0)
        await sums.refresh()
        assert sums.shown == {}
    assert sums.shown["campaigns"] == {"running": 10}


async def test_a_count_that_took_long_is_not_soon_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more than a twentieth of the time goes into it."""
    sandbox = Sandbox()
    sums = _sums.Sums(sandbox._state)

    async def slow(_self: object, _records: object, _name: str) -> dict[str, int]:
        await asyncio.sleep(1)
        return {}

    monkeypatch.setattr(_sums.Sums, "_by_state", slow)
    loop = asyncio.get_running_loop()
    took = []
    for pause in (0, 30, 31):
        await asyncio.sleep(pause)
        began = loop.time()
        await sums.refresh()
        took.append(round(loop.time() - began))
    assert took == [3, 0, 3]


async def test_many_states_and_odd_ones_are_summed() -> None:
    """The most frequent are shown, and what is no text at all is counted too."""
    sandbox = Sandbox()
    for number in range(40):
        campaign = sandbox.ocamba.seed_campaign(str(number))
        campaign.status = f"state {number}" if number < 20 else "running"
    sandbox.omeda.seed_deployment("T", ["no", "status"])  # type: ignore[arg-type]  # as a seed from outside may be
    sums = _sums.Sums(sandbox._state)
    await sums.refresh()
    assert sum(sums.shown["campaigns"].values()) == 40
    assert sums.shown["campaigns"]["other"] == 9
    assert sums.shown["deployments"] == {"['no', 'status']": 1}


async def test_opt_outs_are_added_up_as_they_come() -> None:
    """And anew once they were forgotten."""
    sandbox = Sandbox()
    sums = _sums.Sums(sandbox._state)
    for number, forget in ((1, False), (2, False), (1, True), (2, False)):
        if forget:
            sandbox.omeda.opt_outs.clear()
        body = {"ClientOptOut": [{"EmailAddress": "a@example.com"}, {"EmailAddress": "b@example.com"}]}
        sandbox.omeda.opt_outs.apply("id", 0.0, json.dumps(body).encode(), body)
        await sums.refresh()
        assert sums.shown["opt_outs"] == {"requests": number, "opt-outs": 2 * number}


async def test_records_are_shown_by_kind_and_by_id(api: Any) -> None:
    """The last fifty of them, or the one that is asked for."""
    api.sandbox.ocamba.seed_campaigns(map(str, range(60)))
    shown = (await api.get("/_sandbox/records?kind=campaigns")).json
    assert [one["id"] for one in shown] == [str(number) for number in range(59, 9, -1)]
    found = (await api.get("/_sandbox/records?kind=campaigns&id=7")).json
    assert found == [{"id": "7", "status": "running", "cancels": 0, "attempts": 0, "name": "Campaign 7"}]
    assert (await api.get("/_sandbox/records?kind=transactions&id=none")).json == []
    wrong = await api.get("/_sandbox/records?kind=people")
    assert (wrong.status, "deployments, campaigns" in wrong.json["error"]) == (400, True)


async def test_a_request_of_very_many_opt_outs_is_not_opened(api: Any) -> None:
    """A look at the page unpacks nothing large."""
    many = [{"EmailAddress": f"a{number}@example.com"} for number in range(1001)]
    for entries in (many, many[:2]):
        await api.post("/webservices/rest/client/foo_client/optoutfilterqueue/*", {"ClientOptOut": entries})
    shown = (await api.get("/_sandbox/records?kind=opt-outs")).json
    assert [one["address"] for one in shown] == [
        "a***@example.com",
        "a***@example.com",
        "a request of 1,001 opt-outs: see /_sandbox/opt-outs",
    ]


async def test_one_fault_is_switched_off_by_its_number(api: Any) -> None:
    """The others stay; one that is not in force any more is no error, and a number must be given."""
    faults = [api.sandbox.fault(Fault(kind)) for kind in ("500", "502", "503")]
    for _ in range(2):
        assert (await api.post("/_sandbox/faults/remove", {"number": 2})).status == 200
    assert api.sandbox.faults.armed == (faults[0], faults[2])
    assert (await api.post("/_sandbox/faults/remove", {})).status == 400


def test_an_opened_submission_is_what_was_applied() -> None:
    """An element with several ids as several."""
    sandbox = Sandbox()
    body = {"BrandOptOut": [{"EmailAddress": "a@example.com", "BrandId": ["XXG", "XXH"]}]}
    sandbox.omeda.opt_outs.apply("id", 0.0, json.dumps(body).encode(), body)
    (submission,) = sandbox.omeda.opt_outs.submissions
    assert list(submission.opened()) == [
        OptOut("brand", "a@example.com", one, "Optout API 2") for one in ("XXG", "XXH")
    ]


def _incoming() -> Any:
    return Incoming(
        method="GET", target="/v1/hood/campaigns", headers={}, provider="ocamba", operation="campaigns.list"
    )
