"""A server of its own process with fixed windows: it counts what arrives, and writes down who sent it.

It answers like Ocamba, with its headers, after a trip there and back that takes its time. ``python -m
benchmarks.sharing.counting JSON``: its input's first line says when its windows begin; when the input ends it says what
has arrived, and when the machine was late. The times are those of the machine's monotonic clock.
"""

import asyncio
import json
import random
import re
import sys
import time
from typing import Any

from omeda_async.sandbox._windows import FixedWindow, Limits

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_SENDER = re.compile(rb"/campaigns/([^-/]+)-")
TRIP = (0.004, 0.015)
"""Seconds one way, at the least and at the most."""
BEAT = 0.01
"""Seconds from one look at the clock to the next."""
Arrival = tuple[float, str, bool]
"""When a request has arrived, from whom, and whether it was refused."""


class Counting(asyncio.Protocol):
    """One connection, kept alive."""

    def __init__(self, account: "Account") -> None:
        self._account = account
        self._held = b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where the answers go."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Take in a request once it is whole."""
        self._held += data
        head, end, rest = self._held.partition(b"\r\n\r\n")
        found = _LENGTH.search(head)
        if end and len(rest) >= (int(found[1]) if found else 0):
            self._held = b""
            loop = asyncio.get_running_loop()
            loop.call_later(random.uniform(*TRIP), self._arrive, head)  # noqa: S311 no secret is drawn

    def _arrive(self, head: bytes) -> None:
        found = _SENDER.search(head)
        status, headers = self._account.arrive(found[1].decode() if found else "?")
        said = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        answer = f"HTTP/1.1 {status} X\r\n{said}{'Content-Length: 0' + chr(13) + chr(10) if status != 204 else ''}\r\n"
        loop = asyncio.get_running_loop()
        loop.call_later(random.uniform(*TRIP), self._answer, answer.encode())  # noqa: S311 no secret is drawn

    def _answer(self, answer: bytes) -> None:
        self._account.in_flight -= 1
        self._transport.write(answer)


class Account:
    """What the server counts.

    Args:
        windows: Calls and seconds of each.
        parallel: The most in flight.
        tells_at: At how many arrivals it says so, once.
        tells_by: After how many seconds at the latest.
    """

    def __init__(self, windows: list[tuple[int, float]], parallel: int, tells_at: int, tells_by: float) -> None:
        self.windows = tuple(FixedWindow(calls, seconds) for calls, seconds in windows)
        self._limits = Limits(windows=self.windows, parallel=parallel)
        self._tells_at = tells_at
        self._tells_by = tells_by
        self._told = False
        self.in_flight = 0
        self.arrivals: list[Arrival] = []
        self.late: list[tuple[float, float]] = []
        """When the server was to look at the clock, and by how many seconds that was later."""

    def arrive(self, sender: str) -> tuple[int, dict[str, str]]:
        """Count a request, and return the status and the headers of the answer."""
        now = time.monotonic()
        found = self._limits.admit(now, self.in_flight)
        self.in_flight += 1
        self.arrivals.append((now, sender, found.refused))
        if len(self.arrivals) >= self._tells_at:
            self.tell()
        return (429 if found.refused else 204), found.headers

    def begin(self, at: float) -> None:
        """Let the windows begin at a moment."""
        for window in self.windows:
            window.phase = at
        asyncio.get_running_loop().call_at(at + self._tells_by, self.tell)
        self._beat(at)

    def _beat(self, due: float) -> None:
        loop = asyncio.get_running_loop()
        self.late.append((due, max(0.0, loop.time() - due)))
        at = max(due, loop.time()) + BEAT
        loop.call_at(at, self._beat, at)

    def tell(self) -> None:
        """Say that so many have arrived, or that they are late."""
        if not self._told:
            self._told = True
            print(len(self.arrivals), flush=True)


async def serve(**given: Any) -> None:
    """Serve on a free port until the input ends; say which port that is, and in the end what has arrived."""
    account = Account(**given)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Counting(account), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    account.begin(float(await loop.run_in_executor(None, sys.stdin.readline)))
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()
    account.tell()  # not later: what is said last is what has arrived
    print(json.dumps({"arrivals": account.arrivals, "late": account.late}))


if __name__ == "__main__":
    asyncio.run(serve(**json.loads(sys.argv[1])))
