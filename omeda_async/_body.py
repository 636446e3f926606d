"""Reading and unpacking the body of a response: bounded, and never in the way of its status."""

import asyncio
import zlib

import aiohttp
from aiohttp import compression_utils

MAX_BODY = 16 * 1024 * 1024
_TOO_LARGE = f"larger than {MAX_BODY // 1024 // 1024} MiB"
_CUT = "cut short"
_KEPT = 64 * 1024
"""Bytes that are kept of a body that is too large: enough to see what it is."""
_MOST_CODINGS = 3
_MOST_MEMBERS = 100
"""Streams that a packed body may hold one after the other."""


class BodyLost(Exception):
    """A body did not come whole, or cannot be unpacked.

    Args:
        flaw: What is wrong with it, as what follows "its body is".
        body: What there is of it.
        timed_out: Whether we stopped waiting for it.
    """

    def __init__(self, flaw: str, body: bytes = b"", *, timed_out: bool = False) -> None:
        super().__init__(flaw)
        self.flaw = flaw
        self.body = body
        self.timed_out = timed_out

    @property
    def is_too_large(self) -> bool:
        """Whether there is more of it than is ever read."""
        return self.flaw == _TOO_LARGE


async def read(response: aiohttp.ClientResponse, *, is_here: bool) -> bytes:
    """Read a body to its end, and unpack it.

    Args:
        response: The response.
        is_here: Whether it has come whole, and its connection needs no care.

    Raises:
        BodyLost: It did not come whole, is larger than 16 MiB, or cannot be unpacked.
    """
    packed = _bounded([response.content.read_nowait()]) if is_here else await _whole(response)
    encoding = response.headers.get("Content-Encoding")
    return unpack(packed, encoding) if encoding and packed else packed


async def _whole(response: aiohttp.ClientResponse) -> bytes:
    if (body := response._body) is not None:  # noqa: SLF001 a middleware of the caller's has read it
        return _bounded([body])
    parts: list[bytes] = []
    try:
        async with response:
            if (response.content_length or 0) > MAX_BODY:
                response.close()
                raise BodyLost(_TOO_LARGE)
            with _Ending(response):
                await _gather(response, parts)
    except TimeoutError:
        raise BodyLost("not whole in time", b"".join(parts), timed_out=True) from None
    except (aiohttp.ClientError, OSError):
        raise BodyLost(_CUT, b"".join(parts)) from None
    return b"".join(parts)


async def _gather(response: aiohttp.ClientResponse, parts: list[bytes]) -> None:
    size = 0
    while part := await response.content.readany():
        parts.append(part)
        size += len(part)
        if size > MAX_BODY:
            response.close()
            _bounded(parts)


def _bounded(parts: list[bytes]) -> bytes:
    if sum(map(len, parts)) > MAX_BODY:
        raise BodyLost(_TOO_LARGE, parts[0][:_KEPT])
    return b"".join(parts)


class _Ending:
    """While it is entered, the end of the connection ends the body, too.

    aiohttp tells nobody who reads a body that it has closed the connection for what it could not parse.
    """

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._content = response.content
        connection = response.connection
        protocol = None if connection is None else connection.protocol
        self._closed = None if protocol is None else protocol.closed

    def __enter__(self) -> None:
        if self._closed is not None:
            self._closed.remove_done_callback(_note)
            self._closed.add_done_callback(_note)
            self._closed.add_done_callback(self._end)

    def __exit__(self, *_: object) -> None:
        if self._closed is not None:
            self._closed.remove_done_callback(self._end)

    def _end(self, _: "asyncio.Future[None]") -> None:
        if not self._content.is_eof() and self._content.exception() is None:
            self._content.set_exception(aiohttp.ClientPayloadError())


def _note(closed: "asyncio.Future[None]") -> None:
    # asyncio would complain of an error that nobody has asked for, should the connection break later.
    if not closed.cancelled():
        closed.exception()


def unpack(packed: bytes, encodings: str) -> bytes:
    """Undo the content codings of a body, the last one first.

    Raises:
        BodyLost: One is unknown, broken or cut, or what comes out is larger than 16 MiB.
    """
    names = encodings.casefold().split(",")
    if len(names) > _MOST_CODINGS:
        raise BodyLost("packed over and over", packed[:_KEPT])
    for encoding in map(str.strip, reversed(names)):
        try:
            packed = _unpacked(packed, encoding)
        except BodyLost:
            raise
        except Exception:  # noqa: BLE001 each package has errors of its own for what it cannot unpack
            raise BodyLost(f"not what its Content-Encoding says ({encoding[:20]})", packed[:_KEPT]) from None
        _bounded([packed])
    return packed


def _unpacked(packed: bytes, encoding: str) -> bytes:
    match encoding:
        case "identity" | "":
            return packed
        case "gzip" | "x-gzip":
            return _inflate(packed, 16 + zlib.MAX_WBITS)
        case "deflate":
            # What RFC 9110 calls deflate has zlib's header, which some servers leave out.
            return _inflate(packed, zlib.MAX_WBITS if packed[0] & 0xF == 8 else -zlib.MAX_WBITS)
        case "br" if compression_utils.HAS_BROTLI:
            return compression_utils.BrotliDecompressor().decompress_sync(packed, MAX_BODY + 1)
        case "zstd" if compression_utils.HAS_ZSTD:
            return compression_utils.ZSTDDecompressor().decompress_sync(packed, MAX_BODY + 1)
    missing = {"br": "Brotli", "zstd": "backports.zstd"}.get(encoding)
    remedy = f"install the package {missing}, or have" if missing else "have"
    name = encoding[:20] if encoding.isprintable() else "something unknown"
    raise BodyLost(f"packed with {name}, which nobody asked for: {remedy} the server or the proxy not do so")


def _inflate(packed: bytes, bits: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while packed and len(parts) < _MOST_MEMBERS:
        stream = zlib.decompressobj(bits)
        parts.append(stream.decompress(packed, MAX_BODY + 1 - size))
        size += len(parts[-1])
        if size > MAX_BODY:
            return b"".join(parts)
        if not stream.eof:
            raise BodyLost(_CUT, b"".join(parts)[:_KEPT])
        packed = stream.unused_data
    if packed:
        raise BodyLost("packed in too many pieces", b"".join(parts)[:_KEPT])
    return b"".join(parts)
