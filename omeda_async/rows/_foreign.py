"""What a file is that is no text: a workbook, which can be read, or something else, which is called by its name."""

import re
from typing import Final

from omeda_async.errors import ConfigurationError
from omeda_async.rows._source import Source

_WORKBOOK: Final = b"PK\x03\x04"
_COMPOUND: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENCRYPTED: Final = "EncryptedPackage".encode("utf-16-le")
_OTHERS: Final = {
    re.compile(rb"BZh[1-9]1AY&SY"): "packed by bzip2: unpack it, or pack it with gzip",
    re.compile(rb"\xfd7zXZ\0"): "packed by xz: unpack it, or pack it with gzip",
    re.compile(rb"\x28\xb5\x2f\xfd"): "packed by zstd: unpack it, or pack it with gzip",
    re.compile(rb"7z\xbc\xaf\x27\x1c"): "a 7z archive: unpack it",
    re.compile(rb"PK\x05\x06"): "an empty ZIP archive",
    re.compile(rb"%PDF-"): "a PDF document: export the rows as CSV",
    re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype html|html|table|\?xml)", re.IGNORECASE): (
        "a page or XML, whatever its name says: save it as CSV, or as .xlsx"
    ),
}


def is_workbook(source: Source) -> bool:
    """Whether a file is a ZIP archive, as an ``.xlsx`` is."""
    return _start(source).startswith(_WORKBOOK)


def check_ours(source: Source) -> None:
    """Refuse what is known, and is nothing to read rows from."""
    start = _start(source)
    if start.startswith(_COMPOUND):
        before, found = b"", False
        for block in source.blocks():
            found = found or _ENCRYPTED in before + block
            before = block[-len(_ENCRYPTED) :]
        what = (
            "encrypted: save it without a password"
            if found
            else "a workbook of an old form (.xls): save it as .xlsx or CSV"
        )
        raise ConfigurationError(f"{source.name} is {what}")
    for form, what in _OTHERS.items():
        if form.match(start):
            raise ConfigurationError(f"{source.name} is {what}")


def _start(source: Source) -> bytes:
    return next(source.blocks(), b"")
