"""Gzip, unpacked block by block: however far something packed unfolds, a block of it is in memory at a time."""

import zlib
from collections.abc import Iterator
from typing import Final

from omeda_async.errors import ConfigurationError

AT_ONCE: Final = 64 * 1024
GZIP: Final = b"\x1f\x8b"
_WITH_HEADER: Final = 16 + zlib.MAX_WBITS


def unpacked(blocks: Iterator[bytes], name: str) -> Iterator[bytes]:
    """Unpack a file of one or several members.

    Raises:
        ConfigurationError: It is cut short or damaged, or was packed twice.
    """
    first = True
    try:
        for block in _unpacked(blocks, name):
            if first and block.startswith(GZIP):
                raise ConfigurationError(f"{name} is packed twice: unpack it once")
            first = False
            yield block
    except zlib.error as problem:
        raise ConfigurationError(f"{name} is damaged and cannot be unpacked (gzip): get it once more") from problem


def _unpacked(blocks: Iterator[bytes], name: str) -> Iterator[bytes]:
    member = zlib.decompressobj(_WITH_HEADER)
    for block in blocks:
        data = block
        while data:
            if member.eof:
                data = data.lstrip(b"\0")  # tapes and some programs fill up with these
                if not data:
                    break
                member = zlib.decompressobj(_WITH_HEADER)
            if part := member.decompress(data, AT_ONCE):
                yield part
            data = member.unconsumed_tail or member.unused_data
    while not member.eof and (part := member.decompress(b"", AT_ONCE)):
        yield part
    if not member.eof:
        raise ConfigurationError(f"{name} is cut short: its packed content (gzip) has no end; get it once more")
