"""Lists that come page by page are read to their end, whatever a server makes of the size and the place asked for."""

from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest

from omeda_async import UnreadableAnswer
from omeda_async._operation import Request, Response
from omeda_async.providers.journey_manager.client import Transactions
from omeda_async.providers.ocamba.client import Campaigns
from tests.core.scripted import ScriptedTransport, account, answer

Serve = Callable[[Request], Any]


def _replies(transport: ScriptedTransport, serve: Serve) -> Iterator[Callable[[], Awaitable[Response]]]:
    async def reply() -> Response:
        return answer(200, serve(transport.sent[-1].request))

    while len(transport.sent) < 100:
        yield reply


class _Endless(list[Any]):
    """A script that goes on by a function of the request."""

    def __init__(self, replies: Iterator[Any]) -> None:
        super().__init__()
        self._replies = replies

    def pop(self, _place: Any = 0) -> Any:
        return next(self._replies)


def _campaigns(serve: Callable[[int, int], Any]) -> tuple[Campaigns, ScriptedTransport]:
    def by_page(request: Request) -> Any:
        number, size = parse_qs(urlsplit(request.path).query)["page"][0].split(",")
        return serve(int(number), int(size))

    owner, transport = account(provider="ocamba")
    transport.script = _Endless(_replies(transport, by_page))
    return Campaigns(owner), transport


def _transactions(serve: Callable[[dict[str, Any]], Any]) -> tuple[Transactions, ScriptedTransport]:
    owner, transport = account(provider="journey_manager")
    transport.script = _Endless(_replies(transport, lambda request: serve(orjson.loads(request.body or b""))))
    return Transactions(owner), transport


def _ids(count: int) -> list[dict[str, str]]:
    return [{"id": str(place), "status": "running"} for place in range(count)]


def _keys(count: int) -> list[dict[str, str]]:
    return [{"submitKey": f"k{place:04}", "formStatus": "Saved"} for place in range(count)]


@pytest.mark.parametrize(("count", "requests"), [(0, 1), (49, 1), (50, 1), (51, 2), (100, 2), (120, 3)])
async def test_a_list_with_a_total_takes_no_request_more_than_it_has_pages(count: int, requests: int) -> None:
    """The total says when the end is reached."""
    every = _ids(count)
    campaigns, transport = _campaigns(lambda page, size: {"total": count, "items": every[(page - 1) * size :][:size]})
    assert [one.id async for one in campaigns.list()] == [one["id"] for one in every]
    assert len(transport.sent) == requests


@pytest.mark.parametrize("most", [1, 7, 10, 25, 49])
@pytest.mark.parametrize("counts_by", ["what it gives", "what was asked for"])
async def test_pages_smaller_than_asked_for_are_followed_to_the_total(most: int, counts_by: str) -> None:
    """The largest page is not published: no campaign is left out, wherever the server lets the second page begin."""
    every = _ids(60)

    def serve(page: int, size: int) -> Any:
        given = min(size, most)
        start = (page - 1) * (given if counts_by == "what it gives" else size)
        return {"total": 60, "items": every[start:][:given]}

    campaigns, transport = _campaigns(serve)
    assert [one.id async for one in campaigns.list()] == [one["id"] for one in every]
    assert len(transport.sent) == -(-60 // most)


@pytest.mark.parametrize("most", [10, 50])
async def test_a_list_without_its_total_goes_on_to_an_empty_page(most: int) -> None:
    """A short page may be all the server gives at once: one request more is the price of knowing."""
    every = _ids(65)
    campaigns, transport = _campaigns(
        lambda page, size: {"items": every[(page - 1) * min(size, most) :][: min(size, most)]}
    )
    assert [one.id async for one in campaigns.list()] == [one["id"] for one in every]
    assert len(transport.sent) == -(-65 // most) + 1


async def test_a_total_that_counts_more_than_is_listed_ends_with_an_empty_page() -> None:
    """Some totals do not heed the filter."""
    every = _ids(70)
    campaigns, transport = _campaigns(lambda page, size: {"total": 500, "items": every[(page - 1) * size :][:size]})
    assert len([one async for one in campaigns.list(statuses=["running"])]) == 70
    assert len(transport.sent) == 3


async def test_a_server_that_does_not_turn_the_page_is_found_out() -> None:
    """The first page came, and that it was not all is said aloud."""
    campaigns, transport = _campaigns(lambda _page, size: {"total": 200, "items": _ids(size)})
    stream = campaigns.list()
    given = [await anext(stream) for _ in range(50)]
    with pytest.raises(UnreadableAnswer, match="page 2") as caught:
        await anext(stream)
    assert (len(given), len(transport.sent)) == (50, 2)
    assert (caught.value.provider, caught.value.operation) == ("ocamba", "campaigns.list")


async def test_a_campaign_that_moves_to_the_next_page_meanwhile_is_given_once_and_ends_the_list() -> None:
    """One that joins the list in front pushes the last one on: a page with nothing else on it is no trouble."""
    later = [{"id": "new", "status": "running"}, *_ids(50)]

    def serve(page: int, size: int) -> Any:
        every = _ids(50) if page == 1 else later
        return {"total": 51, "items": every[(page - 1) * size :][:size]}

    campaigns, transport = _campaigns(serve)
    assert [one.id async for one in campaigns.list()] == [one["id"] for one in _ids(50)]
    assert len(transport.sent) == 2


def _page(rows: list[dict[str, str]], body: dict[str, Any], *, most: int = 10_000, echo: bool = True) -> Any:
    limit = min(body["fetchLimit"], most)
    page = {"result": rows[body["fetchOffset"] :][:limit]}
    return {**page, "fetchLimit": limit, "fetchOffset": body["fetchOffset"]} if echo else page


@pytest.mark.parametrize(("count", "requests"), [(0, 1), (9, 1), (10, 2), (15, 2), (20, 3)])
async def test_a_query_ends_with_the_first_page_that_is_not_full(count: int, requests: int) -> None:
    """By the server's own word on how many it gives there can be no more."""
    transactions, transport = _transactions(lambda body: _page(_keys(count), body))
    assert len([one async for one in transactions.query(page_size=10)]) == count
    assert len(transport.sent) == requests


async def test_a_server_that_gives_less_than_asked_for_is_asked_on() -> None:
    """It says that it gives four at a time: the next page begins behind them, and the last is short of four."""
    transactions, transport = _transactions(lambda body: _page(_keys(11), body, most=4))
    found = [one.submit_key async for one in transactions.query(page_size=10)]
    assert found == [one["submitKey"] for one in _keys(11)]
    assert [orjson.loads(one.request.body or b"")["fetchOffset"] for one in transport.sent] == [0, 4, 8]


async def test_a_server_that_does_not_say_how_many_it_gives_is_asked_until_it_gives_none() -> None:
    """Without that a short page proves nothing."""
    transactions, transport = _transactions(lambda body: _page(_keys(11), body, most=4, echo=False))
    assert len([one async for one in transactions.query(page_size=10)]) == 11
    assert len(transport.sent) == 4


@pytest.mark.parametrize("echo", [True, False])
async def test_a_server_that_does_not_heed_the_offset_is_found_out(echo: bool) -> None:
    """The same page came twice: there is no end to wait for."""
    transactions, transport = _transactions(lambda body: _page(_keys(30), {**body, "fetchOffset": 0}, echo=echo))
    stream = transactions.query(page_size=10)
    given = [await anext(stream) for _ in range(10)]
    with pytest.raises(UnreadableAnswer, match="from 10 on") as caught:
        await anext(stream)
    assert (len(given), len(transport.sent)) == (10, 2)
    assert (caught.value.provider, caught.value.operation) == ("journey_manager", "transactions.query")


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ([], None),
        (["trackingCode"], ["submitKey", "formStatus", "trackingCode"]),
        (iter(["formStatus", "trackingCode"]), ["submitKey", "formStatus", "trackingCode"]),
    ],
)
async def test_the_key_is_asked_for_with_whatever_else_is_to_be_shown(asked: Any, sent: Any) -> None:
    """Without it nobody could tell what is new on a page."""
    transactions, transport = _transactions(lambda body: _page([], body))
    assert [one async for one in transactions.query(attributes=asked)] == []
    assert orjson.loads(transport.sent[0].request.body or b"").get("attributes") == sent
