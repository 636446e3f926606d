"""What SQLite would take back of a file, where whoever wrote it was killed: by the -journal beside it."""

from pathlib import Path
from struct import Struct
from typing import Final

# https://www.sqlite.org/fileformat.html 3: how it begins, with the pages that the file had, and the sizes of both.
_HEADER: Final = Struct(">8s8xIII")
_MAGIC: Final = bytes.fromhex("d9d505f920a163d7")
_NUMBER: Final = Struct(">I")
_PAGE_SIZE: Final = Struct(">16xH")
HEAD: Final = _PAGE_SIZE.size
"""Bytes that tell how large a page is."""
_ONE_IS: Final = 65536
# The same, 1.3: whether a file has a log, how often it was changed, and by which SQLite.
_HOW: Final = (slice(18, 20), slice(24, 28), slice(92, 100))


def size_of_pages(head: bytes) -> int:
    """Return how large the pages of a file are, by how it begins."""
    size: int = _PAGE_SIZE.unpack_from(head)[0]
    return _ONE_IS if size == 1 else size


def is_harmless(journal: bytes, first_page: bytes, length: int) -> bool:
    """Whether what would be taken back is no more than that a file has, or has not, a log.

    Args:
        journal: What stands beside the file, of which a header, one page and one byte are enough.
        first_page: The file's own.
        length: Of the file, in bytes.
    """
    if len(journal) < _HEADER.size:
        return False
    magic, pages, sector, size = _HEADER.unpack_from(journal)
    page = sector + _NUMBER.size
    if (
        magic != _MAGIC
        or size != len(first_page)
        or pages * size != length
        or len(journal) > page + size + _NUMBER.size
    ):
        return False
    if len(journal) < page + size:
        return True  # that of a page which is not there to the end is not taken back
    return _NUMBER.unpack_from(journal, sector) == (1,) and _content(journal[page : page + size]) == _content(
        first_page
    )


def longest(page_size: int) -> int:
    """Return how many bytes of a -journal are enough."""
    return 2 * _ONE_IS + page_size


def rollback_of(path: Path) -> Path:
    """Name the file beside one that SQLite writes without a log."""
    return Path(f"{path.resolve()}-journal")


def _content(page: bytes) -> bytes:
    found = bytearray(page)
    for how in _HOW:
        found[how] = bytes(how.stop - how.start)
    return bytes(found)
