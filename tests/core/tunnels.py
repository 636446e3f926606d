"""A small proxy on 127.0.0.1 that opens tunnels (CONNECT), and breaks them off where it is told to."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import attrs

OPEN = b"HTTP/1.1 200 Connection established\r\n\r\n"
NEVER = 10**9


@attrs.define
class ConnectProxy:
    """Leads every tunnel to one port of this machine, whatever host it was asked for."""

    port: int
    answer: bytes | None = OPEN
    """What it says to a CONNECT; None for nothing, ever."""
    closes: bool = False
    """Whether it ends the connection after its answer."""
    forth: int = NEVER
    """Bytes of a tunnel that it passes on to the server before it breaks off."""
    back: int = NEVER
    """The same of those to the client."""
    url: str = ""
    heads: list[bytes] = attrs.field(factory=list)
    """What it was asked, each with its headers."""
    writers: list[asyncio.StreamWriter] = attrs.field(factory=list)
    """Those to the clients."""
    passed: int = 0
    """Bytes that the last tunnel has passed on to the server."""

    @property
    def asked(self) -> list[str]:
        """Return the first lines of what it was asked."""
        return [head.split(b"\r\n")[0].decode() for head in self.heads]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read a CONNECT and do as told."""
        self.writers.append(writer)
        try:
            self.heads.append(await reader.readuntil(b"\r\n\r\n"))
            if self.answer is None:
                await reader.read()
                return
            writer.write(self.answer)
            await writer.drain()
            if self.answer is OPEN and not self.closes:
                await self._tunnel(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _tunnel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection("127.0.0.1", self.port)
        self.passed = 0

        def note(size: int) -> None:
            self.passed += size

        ways = {
            asyncio.ensure_future(_passing(reader, forth, self.forth, note)),
            asyncio.ensure_future(_passing(back, writer, self.back, lambda _: None)),
        }
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            forth.close()


async def _passing(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, most: int, note: Callable[[int], None]
) -> None:
    with contextlib.suppress(ConnectionError):
        while most and (data := await reader.read(min(most, 65536))):
            most -= len(data)
            note(len(data))
            writer.write(data)
            await writer.drain()


@asynccontextmanager
async def proxying(
    url: str, tls: ssl.SSLContext | None = None, *, at: int = 0, **how: object
) -> AsyncIterator[ConnectProxy]:
    """A proxy whose tunnels lead to the port of this URL; at a free port, or at the one given."""
    proxy = ConnectProxy(urlsplit(url).port or 0, **how)  # type: ignore[arg-type]  # as its attributes say
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", at, ssl=tls)
    proxy.url = f"http{'s' if tls else ''}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        server.close()
        for writer in proxy.writers:
            writer.close()
        await asyncio.sleep(0.05)
