"""What SQLite would take back of a file, where whoever wrote it was killed: by the -journal beside it."""

from struct import Struct
from typing import Final

# https://www.sqlite.org/fileformat.html 3: how it begins, with the pages that the file had, and the sizes of both.
_HEADER: Final = Struct(">8s8xIII")
_MAGIC: Final = bytes.fromhex("d9d505f920a163d7")
_NUMBER: Final = Struct(">I")
_PAGE_SIZE: Final = Struct(">16xH")
LARGEST_PAGE: Final = 65536
ENOUGH: Final = 3 * LARGEST_PAGE
"""Bytes of a -journal that tell whether it is harmless."""
# The same, 1.3: whether a file has a log, how often it was changed, and by which SQLite.
_HOW: Final = (slice(18, 20), slice(24, 28), slice(92, 100))


def is_harmless(journal: bytes, head: bytes, length: int) -> bool:
    """Whether what would be taken back is no more than that a file has, or has not, a log.

    Args:
        journal: What stands beside the file, of which a header, one page and one byte are enough.
        head: How the file begins: its first page, or more.
        length: Of the file, in bytes.
    """
    if len(journal) < _HEADER.size or len(head) < _PAGE_SIZE.size:
        return False
    (page_size,) = _PAGE_SIZE.unpack_from(head)
    first_page = head[: LARGEST_PAGE if page_size == 1 else page_size]
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


def _content(page: bytes) -> bytes:
    found = bytearray(page)
    for how in _HOW:
        found[how] = bytes(how.stop - how.start)
    return bytes(found)
