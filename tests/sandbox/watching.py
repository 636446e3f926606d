"""A reader of the sandbox's events over a plain socket: what arrived, byte by byte."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs

from omeda_async.sandbox import Sandbox


@attrs.define
class Stream:
    """The response to a request for events, whose parts come as HTTP/1.0 sends them: as they are."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    head: str = ""

    @property
    def status(self) -> int:
        """Return the response's status."""
        return int(self.head.split()[1])

    async def event(self) -> Any:
        """Return the data of the next event; it fails where that is not one line of JSON."""
        lines = (await self.reader.readuntil(b"\n\n")).decode().splitlines()
        assert lines[0] == "event: update"
        assert lines[1].startswith("data: {")
        assert lines[2:] == [""]
        return json.loads(lines[1].removeprefix("data: "))

    async def until(self, total: int) -> list[Any]:
        """Return the events up to the one that tells of so many requests."""
        events = [await self.event()]
        while events[-1]["requests"]["total"] < total:
            events.append(await self.event())
        return events


@asynccontextmanager
async def watching(sandbox: Sandbox, limit: int = 2**20, **headers: str) -> AsyncIterator[Stream]:
    """Open the events of a sandbox."""
    host, port = sandbox.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=limit)
    lines = {"Host": f"{host}:{port}"} | {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    writer.write(f"GET /_sandbox/events HTTP/1.0\r\n{head}\r\n".encode())
    stream = Stream(reader, writer)
    try:
        stream.head = (await reader.readuntil(b"\r\n\r\n")).decode()
        yield stream
    finally:
        writer.transport.abort()
