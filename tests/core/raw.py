"""Raw servers on 127.0.0.1 that say what they are told, and a transport that talks to them."""

import asyncio
import socket
import ssl
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import pytest

from omeda_async import OmedaAsyncError
from omeda_async._operation import Request, Response
from omeda_async._transport import Transport

POST = Request("POST", "/some/path/*", b'{"a":1}', {"Content-Type": "application/json"})
GET = Request("GET", "/some/path/*")
SECRET = {"Authorization": "Bearer top-secret-token"}
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@attrs.define
class Server:
    """A raw server: what it was sent, and what it says."""

    talk: Talk
    url: str = ""
    requests: list[bytes] = attrs.field(factory=list)
    connections: int = 0
    writers: list[asyncio.StreamWriter] = attrs.field(factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read requests and answer each, until the connection ends."""
        self.connections += 1
        self.writers.append(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
                body = await reader.readexactly(int(length[0].split(b":")[1])) if length else b""
                self.requests.append(head + body)
                await self.talk(reader, writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(talk: Talk, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """A server on a free port of this machine."""
    made = Server(talk)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0, ssl=tls)
    made.url = f"http{'s' if tls else ''}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        server.close()
        await asyncio.sleep(0.05)


@asynccontextmanager
async def transporting(borrowed: aiohttp.ClientSession | None = None) -> AsyncIterator[Transport]:
    """A transport, closed at the end."""
    transport = Transport(borrowed)
    try:
        yield transport
    finally:
        await transport.aclose()
        await asyncio.sleep(0.05)


def says(*parts: bytes, close: bool = False, reset: bool = False) -> Talk:
    """Say these bytes, and then perhaps end the connection, gently or not."""

    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()
        if reset:
            linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()
        elif close:
            writer.close()

    return talk


async def send(transport: Transport, url: str, request: Request = POST, **options: Any) -> Response:
    """Send with a secret, and limits that suit a test."""
    options = {"timeout": 30.0, "connect_timeout": 5.0, **options}
    headers: Mapping[str, str] = options.pop("headers", SECRET)
    return await transport.send(url, request, headers, **options)


async def failing(talk: Talk, request: Request = POST) -> tuple[OmedaAsyncError, Server]:
    """The error that sending to such a server ends in."""
    async with serving(talk) as server, transporting() as transport:
        with pytest.raises(OmedaAsyncError) as caught:
            await send(transport, server.url, request)
    return caught.value, server


def with_locals(error: BaseException) -> str:
    """What is logged of an error by programs that show what each frame holds; the frames of tests are left out."""
    shown: traceback.TracebackException | None = traceback.TracebackException.from_exception(error, capture_locals=True)
    frames: list[traceback.FrameSummary] = []
    while shown is not None:
        frames += shown.stack
        shown = shown.__cause__ or (None if shown.__suppress_context__ else shown.__context__)
    ours = Path(__file__).parents[1]
    return "".join(f"{one.name} {one.locals}" for one in frames if not Path(one.filename).is_relative_to(ours))


OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


# Signed by itself for 127.0.0.1: nobody trusts it, and its key protects nothing.
SELF_SIGNED = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgz5DLRsamYaAKOoim
7XFcNWdQjgL/VAKpfKWY3ZXgPxKhRANCAASkT9fNpqnnUDG10Co40guCLwEiPTSQ
lJ2trRUi/a8gXAR/KgKyVNZiNrbmShZIIl6KTygyk4CUrR2GMx7Tfgn0
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBkTCCATagAwIBAgIUe2YcVpXqgfFFfw6g6+e4gKXZduwwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJMTI3LjAuMC4xMCAXDTI2MTEyMjE1NDIxNloYDzIxMjYxMDI5
MTU0MjE2WjAUMRIwEAYDVQQDDAkxMjcuMC4wLjEwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAASkT9fNpqnnUDG10Co40guCLwEiPTSQlJ2trRUi/a8gXAR/KgKyVNZi
NrbmShZIIl6KTygyk4CUrR2GMx7Tfgn0o2QwYjAdBgNVHQ4EFgQUkKirozdu6VJS
eoKY6J7ahdgzbKUwHwYDVR0jBBgwFoAUkKirozdu6VJSeoKY6J7ahdgzbKUwDwYD
VR0TAQH/BAUwAwEB/zAPBgNVHREECDAGhwR/AAABMAoGCCqGSM49BAMCA0kAMEYC
IQCnYl8q3NZ9NVQeoDW29yNiJc9ublOYaXLrc0uxXiBUOAIhAL4yPmaW1qtvU1/w
kr/1xEjsbo9agNtMFz10xO4i2ITv
-----END CERTIFICATE-----
"""


def self_signed(folder: Path) -> ssl.SSLContext:
    """What a server needs to speak TLS with the certificate that nobody trusts."""
    pem = folder / "self-signed.pem"
    pem.write_text(SELF_SIGNED, encoding="ascii")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


def trusting(folder: Path) -> ssl.SSLContext:
    """What a client needs to trust it all the same."""
    return ssl.create_default_context(cafile=folder / "self-signed.pem")
