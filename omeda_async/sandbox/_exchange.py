"""What happens to a request between its arrival and its response: trips, limits, a fault, the operation, the audit."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import attrs

from omeda_async.sandbox._faults import Fault, FaultKind, FaultPoint
from omeda_async.sandbox._latency import Latency
from omeda_async.sandbox._message import Api, Incoming, Response
from omeda_async.sandbox._state import State
from omeda_async.sandbox._windows import Admission

STRAY = b"HTTP/1.1 204 No Content\r\n\r\n"
"""What comes on a connection without having been asked for."""
_UNLIMITED = Admission(refused=False, headers={})


class Connection(Protocol):
    """The connection of a client."""

    def is_closing(self) -> bool:
        """Whether it is closed, or about to be."""

    def write(self, data: bytes, /) -> None:
        """Send something to the client."""


@attrs.frozen
class Exchange:
    """Carries requests out, and counts those in flight."""

    state: State
    latency: Latency
    _in_flight: defaultdict[str, set[Connection]] = attrs.field(factory=lambda: defaultdict(set), init=False)

    async def respond(
        self, api: Api, incoming: Incoming, connection: Connection | None
    ) -> tuple[Response | None, Fault | None]:
        """Carry a request out, after one trip and before another.

        Returns:
            The response, or None where the connection is to be closed without one; and the fault that happened.
        """
        await self._trip()
        incoming.arrived_at = asyncio.get_running_loop().time()
        incoming.provider, incoming.operation = api.name, api.operation(incoming)
        with self._counted(api.name, connection) as beside:
            response, fault = await self.decide(api, incoming, beside)
            await self._trip()
            if fault is not None and fault.kind is FaultKind.STRAY and connection is not None:
                asyncio.get_running_loop().call_later(fault.seconds, _disturb, connection)
            return response, fault

    def in_flight(self, provider: str) -> int:
        """Return how many requests of a provider are being worked on, for clients that are still there."""
        return sum(1 for one in self._in_flight[provider] if not one.is_closing())

    async def _trip(self) -> None:
        seconds = self.latency.trip(self.state.rng)
        if seconds:
            await asyncio.sleep(seconds)

    @contextmanager
    def _counted(self, provider: str, connection: Connection | None) -> Iterator[int]:
        """Count a request as in flight, for as long as its client is there; gives how many there are beside it."""
        others, beside = self._in_flight[provider], self.in_flight(provider)
        peaks = self.state.audit.peak_parallel
        peaks[provider] = max(peaks[provider], beside + 1)
        if connection is None:
            yield beside
            return
        others.add(connection)
        try:
            yield beside
        finally:
            others.discard(connection)

    async def decide(self, api: Api, incoming: Incoming, beside: int) -> tuple[Response | None, Fault | None]:
        """Carry a request out that has arrived with so many in flight beside it."""
        admission, fault = _UNLIMITED, None
        if api is self.state.apis["ocamba"]:
            admission = self.state.limits.admit(incoming.arrived_at, beside)
        response: Response | None
        if admission.refused:
            response = api.failure(429)
        else:
            fault = self.state.faults.pick(incoming, api)
            response = await _carried_out(api, incoming, fault)
        if response is not None and (admission.refused or response.status != 429):
            response = response.with_headers(admission.headers)
        status = None if response is None else response.status
        label = None if fault is None else fault.label
        self.state.audit.note(incoming, status, refused=admission.refused, fault=label)
        return response, fault


def _disturb(connection: Connection) -> None:
    if not connection.is_closing():
        connection.write(STRAY)


async def _carried_out(api: Api, incoming: Incoming, fault: Fault | None) -> Response | None:
    if fault is not None and fault.kind is FaultKind.SLOW:
        return await _slowly(api, incoming, fault)
    if fault is None or fault.is_honest:
        return api.respond(incoming)
    if fault.where is FaultPoint.LATER:
        asyncio.get_running_loop().call_later(fault.seconds, api.respond, incoming)
    elif fault.is_carried_out:
        api.respond(incoming)
    return None if fault.kind is FaultKind.DROP else fault.response(api)


async def _slowly(api: Api, incoming: Incoming, fault: Fault) -> Response:
    if fault.where is FaultPoint.BEFORE:
        await asyncio.sleep(fault.seconds)
    response = api.respond(incoming)
    if fault.where is FaultPoint.AFTER:
        await asyncio.sleep(fault.seconds)
    return response
