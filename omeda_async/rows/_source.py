"""The bytes of a file that is opened once: any number of ways through them, each of which proves it unchanged."""

import os
import weakref
from collections.abc import Iterator
from io import BufferedIOBase
from threading import Lock
from typing import BinaryIO, Final

from omeda_async.errors import ConfigurationError
from omeda_async.rows._unpacking import AT_ONCE, GZIP, unpacked

_LONGEST: Final = 16 * 1024 * 1024


class Source:
    """An open file, each read of which proves that it still is what it was when it was opened; gzip is unpacked.

    The file is closed when nobody refers to the source any more.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        weakref.finalize(self, file.close)
        self.name = name
        self._lock = Lock()
        self._was = self._state()
        self.is_packed = self.at(0).startswith(GZIP)

    def at(self, position: int) -> bytes:
        """Read some of what stands at a position; several may do so at the same time.

        Raises:
            ConfigurationError: The file has changed, so that what was read before may not fit to this.
        """
        with self._lock:
            self._file.seek(position)
            data = self._file.read(AT_ONCE)
        if self._state() != self._was:
            raise ConfigurationError(f"{self.name} was changed while it was read: give a copy that nobody writes to")
        return data

    def blocks(self) -> Iterator[bytes]:
        """Go through what the file holds, unpacked, from its start."""
        if not self.is_packed:
            return self._as_it_is()
        return unpacked(self._as_it_is(), self.name)

    def whole(self, most: int) -> bytes:
        """Return all that the file holds.

        Raises:
            ConfigurationError: It is more than so many bytes.
        """
        parts, length = [], 0
        for block in self.blocks():
            parts.append(block)
            length += len(block)
            if length > most:
                raise ConfigurationError(f"{self.name} is larger than {most // 2**20} MiB: save it as CSV")
        return b"".join(parts)

    def _as_it_is(self) -> Iterator[bytes]:
        position = 0
        while data := self.at(position):
            position += len(data)
            yield data

    def _state(self) -> tuple[int, int] | None:
        try:
            found = os.fstat(self._file.fileno())
        except (AttributeError, OSError):  # it is in memory
            return None
        return found.st_size, found.st_mtime_ns


class Blocks(BufferedIOBase):
    """One way through blocks, as a file that can only be read on."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks

    def readable(self) -> bool:
        """Whether it can be read."""
        return True

    def read1(self, _: int = -1, /) -> bytes:
        """Return the next block; nothing at the end."""
        return next(self._blocks, b"")


def in_lines(blocks: Iterator[bytes], name: str) -> Iterator[bytes]:
    """Let blocks pass as long as no line in them is longer than memory should hold.

    Raises:
        ConfigurationError: A line is longer.
    """
    length = 0
    for block in blocks:
        length = 0 if b"\n" in block or b"\r" in block else length + len(block)
        if length > _LONGEST:
            most = _LONGEST // (1024 * 1024)
            raise ConfigurationError(f"{name} has a line of more than {most} MiB: give one record a line")
        yield block
