"""What is seen of a fault plan while it is carried out: by the provider, on the way, and at the end of each record."""

import asyncio
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

import attrs

from omeda_async import Outcome
from omeda_async._operation import Request, Response
from omeda_async._transport import Transport
from omeda_async.bulk._delivery import Delivery
from omeda_async.bulk._item import Closed
from omeda_async.sandbox import Fault, FaultKind as Kind, FaultPoint
from omeda_async.sandbox._exchange import Exchange as SandboxExchange
from tests.bulk.fault_plans import TIMEOUT

_REFUSED = frozenset({Kind.TOO_LARGE, Kind.TOO_MANY, Kind.TOO_PARALLEL, Kind.SESSION_LOST})
_A_WRITE = re.compile("/cancel(/|$)|optout")
_NAME = re.compile(rb"\bid\d+\b")


@attrs.frozen
class Exchange:
    """A request about a record, as the provider met it."""

    told: bool
    """Was it answered in time, and with what the provider had to say?"""
    lost: bool
    """Is it a write whose last word was lost, or came from in between?"""


Exchanges = dict[str, list[Exchange]]


@attrs.frozen
class Noted:
    """Everything that was seen."""

    outcomes: list[Outcome]
    """Every outcome that was counted, whether or not somebody took it."""
    exchanges: Exchanges
    """Requests by the records they are about."""
    broken_off: set[str]
    """The records with a write that was broken off."""


@contextmanager
def everything() -> Iterator[Noted]:
    """Note all that can be seen of runs."""
    with every_outcome() as outcomes, every_exchange() as exchanges, every_break() as broken_off:
        yield Noted(outcomes, exchanges, broken_off)


def _names(path: str, body: bytes | None) -> set[str]:
    return {name.decode() for name in _NAME.findall(path.encode() + (body or b""))}


def _exchange(incoming: Any, fault: Fault | None, status: int | None) -> Exchange:
    honest = fault is None or fault.kind is Kind.STRAY or (fault.kind is Kind.SLOW and fault.seconds < TIMEOUT)
    limited = status == 429 and (fault is None or fault.where is not FaultPoint.MID)
    refused = fault is not None and fault.kind in _REFUSED and fault.where is not FaultPoint.MID
    if refused and fault is not None and fault.kind is Kind.SESSION_LOST:
        refused = incoming.provider != "journey_manager"  # a redirect there, which a gateway may have made
    told = honest and not limited
    is_write = incoming.operation.endswith((".cancel", ".submit"))
    return Exchange(told=told, lost=is_write and not (told or limited or refused))


@contextmanager
def every_exchange() -> Iterator[Exchanges]:
    """Note each request by the records it is about, reads too."""
    noted: Exchanges = defaultdict(list)
    decide = SandboxExchange.decide

    async def noting(self: SandboxExchange, api: Any, incoming: Any, beside: int) -> Any:
        answer, fault = await decide(self, api, incoming, beside)
        exchange = _exchange(incoming, fault, None if answer is None else answer.status)
        for name in _names(incoming.path, incoming.body):
            noted[name].append(exchange)
        return answer, fault

    with mock.patch.object(SandboxExchange, "decide", noting):
        yield noted


@contextmanager
def every_outcome() -> Iterator[list[Outcome]]:
    """Note each outcome that is counted, also those nobody takes any more."""
    noted: list[Outcome] = []
    deliver = Delivery.deliver

    def noting(self: Delivery, closed: Sequence[Closed]) -> None:
        for items, result in closed:
            everyone = [*items, *(repeat for item in items for repeat in item.repeats or ())]
            noted.extend(item.outcome(result) for item in everyone)
        deliver(self, closed)

    with mock.patch.object(Delivery, "deliver", noting):
        yield noted


@contextmanager
def every_break() -> Iterator[set[str]]:
    """Note the records with a write that was cancelled, or not at its end when they got their outcome."""
    noted: set[str] = set()
    under_way: Counter[str] = Counter()
    send, deliver = Transport.send, Delivery.deliver

    async def sending(self: Transport, base_url: str, request: Request, *rest: Any, **options: Any) -> Response:
        names = _names(request.path, request.body) if _A_WRITE.search(request.path) else set()
        under_way.update(names)
        try:
            return await send(self, base_url, request, *rest, **options)
        except asyncio.CancelledError:
            noted.update(names)
            raise
        finally:
            under_way.subtract(names)

    def delivering(self: Delivery, closed: Sequence[Closed]) -> None:
        names = {f"id{item.position}" for items, _ in closed for item in items}
        noted.update(name for name in names if under_way[name])
        deliver(self, closed)

    with mock.patch.object(Transport, "send", sending), mock.patch.object(Delivery, "deliver", delivering):
        yield noted
