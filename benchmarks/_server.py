"""A server of its own process, as fast as plain asyncio allows: it answers like Omeda, and counts what has come.

``GET /_counts`` tells the requests, the opt-outs and a checksum of the bodies, whatever their order, and starts
counting anew, so that every measurement can verify that everything has arrived.
"""

import asyncio
import json
import re
import sys
from typing import Any
from urllib.request import urlopen
from zlib import crc32

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_TRACK_ID = re.compile(rb'"TrackId": ?"([^"]+)"')
_OPT_OUT = b'{"SubmissionId":"762eae76-783f-4f97-b7fc-b884efc37bcc","Success":"Your submission was successful"}'
_TRACK_ID = re.compile(rb'"TrackId": *("[^"]*")')
_CANCELLED = (
    b'{"ResponseInfo":[{"TrackId":%b,"Url":"https://ows.omedastaging.com/webservices/rest/brand/FOO'
    b'/omail/deployment/list/status/1000343/*","SubmissionId":"C95AE90C-BEC6-41F2-91E2-2BA9168D1D1E"}]}'
)


class Counts:
    """What has come since it was last asked for."""

    def __init__(self) -> None:
        self.requests = 0
        self.entries = 0
        self.checksum = 0

    def take(self, body: bytes) -> None:
        """Count one request."""
        self.requests += 1
        self.entries += body.count(b'"EmailAddress"')
        self.checksum = (self.checksum + crc32(body)) % 2**64

    def told(self) -> bytes:
        """Return the counts, and begin anew."""
        said = json.dumps(vars(self)).encode()
        self.__init__()  # type: ignore[misc]  # back to nothing
        return said


class Answering(asyncio.Protocol):
    """One connection, kept alive; requests on it come one after the other. Whatever is asked for is done."""

    def __init__(self, counts: Counts) -> None:
        self.counts = counts
        self._held = bytearray()
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where the answers go."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every request that is whole."""
        self._held += data
        while (end := self._held.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._held[:end])
            found = _LENGTH.search(head)
            whole = end + 4 + (int(found[1]) if found else 0)
            if len(self._held) < whole:
                return
            body = bytes(self._held[end + 4 : whole])
            del self._held[:whole]
            self._answer(head, body)

    def respond(self, head: bytes, body: bytes) -> tuple[bytes, bytes]:
        """Return the status and the body of the response to a request."""
        if head.startswith(b"GET /_counts"):
            return b"200 OK", self.counts.told()
        self.counts.take(body)
        if b"optoutfilterqueue" in head.partition(b"\r\n")[0]:
            return b"200 OK", _OPT_OUT
        found = _TRACK_ID.search(body)
        return b"200 OK", _CANCELLED % (found[1] if found else b'"FOO0102003002"')

    def _answer(self, head: bytes, body: bytes) -> None:
        status, said = self.respond(head, body)
        self._transport.write(
            b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (status, len(said), said)
        )


async def serve() -> None:
    """Serve on a free port until the input ends, and say which port that is."""
    counts = Counts()
    server = await asyncio.get_running_loop().create_server(lambda: Answering(counts), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    # Whoever started this holds the other end of its input: when that is gone, so is the reason to serve.
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    server.close()


def arrived(url: str) -> dict[str, int]:
    """Ask a server what has come since it was last asked."""
    with urlopen(f"{url}/_counts") as answer:  # noqa: S310 our own server, by http
        counts: dict[str, int] = json.load(answer)
    return counts


if __name__ == "__main__":
    asyncio.run(serve())
