"""In what a text is written: as was said, as its mark says, or UTF-8; what is none of these is guessed, and told so."""

import codecs
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from typing import Final, NamedTuple

from omeda_async.errors import ConfigurationError

BLANKS: Final = " \t\r\n"
"""What may stand around a cell or a line, and is left out. Other blanks are refused, as they are in models."""
_HEAD: Final = 1024
_TAIL: Final = 4096
_SAMPLE: Final = 16 * 1024
_MARKS: Final = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_UTF_32: Final = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
_FAMILIES: Final = {"utf-8": "utf-8-sig", "utf-16-le": "utf-16", "utf-16-be": "utf-16"}
_NAMES: Final = {"utf-8-sig": "UTF-8", "utf-16": "UTF-16", "utf-16-le": "UTF-16", "utf-16-be": "UTF-16"}
_LIKELIEST: Final = "cp1252"
"""What spreadsheets on Windows write in most of Europe and America: it wins where others fit no better."""
_EVEN: Final = 0.05
_LIKELY: Final = (
    *(_LIKELIEST, "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "mac_roman", "koi8_r"),
    *("cp932", "euc_jp", "gb18030", "big5", "cp949"),
)


class Charset(NamedTuple):
    """How bytes become text."""

    codec: str = "utf-8-sig"
    """Python's name of it."""
    is_guess: bool = False
    is_said: bool = False
    """Whether somebody said it, and might say another one."""

    @property
    def name(self) -> str:
        """Return its name in sentences."""
        return _NAMES.get(self.codec, self.codec)


class Survey(NamedTuple):
    """What one look at all the bytes has shown."""

    head: bytes
    tail: bytes
    """The last bytes, from a position that is a multiple of four."""
    is_utf_8: bool
    is_ascii: bool


def survey(blocks: Iterator[bytes]) -> Survey:
    """Look at all the bytes of a text."""
    head = tail = b""
    length, is_utf_8, is_ascii = 0, True, True
    decoder = codecs.getincrementaldecoder("utf-8")()
    for block in blocks:
        head = head or block[:_HEAD]
        length += len(block)
        tail = block[-_TAIL:] if len(block) >= _TAIL else (tail + block)[-_TAIL:]
        if is_ascii and block.isascii():  # as nearly all blocks of nearly all files are
            continue
        is_ascii = False
        is_utf_8 = is_utf_8 and _decodes(decoder.decode, block)
    is_utf_8 = is_utf_8 and _decodes(partial(decoder.decode, final=True), b"")
    return Survey(head, tail[-(length - len(tail)) % 4 :], is_utf_8, is_ascii)


def charset_of(seen: Survey, blocks: Iterator[bytes], said: str | None, name: str) -> Charset:
    """Find out in what a text is written.

    Args:
        seen: What a look at its bytes has shown.
        blocks: The bytes once more, for a text that is not UTF-8.
        said: What the user says; None for nothing.
        name: The file's name.

    Raises:
        ConfigurationError: It is no text, or what was said cannot be.
    """
    if seen.head.startswith(_UTF_32) and said is None:
        raise ConfigurationError(f"{name} is written in UTF-32: save it as UTF-8")
    mark = next((codec for start, codec in _MARKS.items() if seen.head.startswith(start)), None)
    if said is not None:
        return _said(said, mark, seen, name)
    if mark is not None:
        return Charset(mark)
    if b"\0" in seen.head:
        return _without_mark(seen.head, name)
    if seen.is_utf_8 or seen.head.lstrip().startswith((b"{", b"[")):  # JSON has no other encoding
        return Charset()
    sample = _beyond_ascii(blocks)
    guess = _guessed(sample) if sample else None
    return Charset() if guess is None else Charset(guess, is_guess=True)


def known_codec(said: str) -> str:
    """Return Python's name of an encoding of texts.

    Raises:
        ConfigurationError: There is none of that name.
    """
    try:
        found = codecs.lookup(said)
        "a".encode(said)
    except (LookupError, ValueError):
        found = None
    if found is None or found.name in {"idna", "punycode", "undefined", "utf-7"} or "escape" in found.name:
        raise ConfigurationError(f"{said!r} is no encoding: such are utf-8, utf-16, cp1252, iso-8859-15, shift_jis")
    return found.name


def _said(said: str, mark: str | None, seen: Survey, name: str) -> Charset:
    codec = known_codec(said)
    family = _FAMILIES.get(codec, codec)
    if mark is not None and mark != family:
        raise ConfigurationError(
            f"{name} begins with the mark of {_NAMES[mark]}, so that it cannot be {said}: leave the encoding out"
        )
    if family in {"utf-8-sig", "utf-16"}:
        return Charset(codec if mark is None and family == "utf-16" else family, is_said=mark is None)
    if seen.is_utf_8 and not seen.is_ascii and b"\0" not in seen.head:
        raise ConfigurationError(f"{name} is UTF-8, and would be garbled as {said}: leave the encoding out")
    return Charset(codec, is_said=True)


def _without_mark(head: bytes, name: str) -> Charset:
    even, odd = head[::2].count(0), head[1::2].count(0)
    least = max(4, len(head) // 4)
    if not even and odd >= least:
        return Charset("utf-16-le")
    if not odd and even >= least:
        return Charset("utf-16-be")
    raise ConfigurationError(f"{name} is no text file: it holds bytes that no text has")


def _decodes(decode: Callable[[bytes], str], block: bytes) -> bool:
    try:
        decode(block)
    except UnicodeDecodeError:
        return False
    return True


def _beyond_ascii(blocks: Iterator[bytes]) -> bytes:
    """Return the first lines that are not ASCII; nothing if one of them all is UTF-8: then the text is, and damaged."""
    sample = rest = b""
    for block in chain(blocks, (b"\n",)):
        *lines, rest = (rest + block).replace(b"\r", b"\n").split(b"\n")
        if len(rest) > _SAMPLE:  # a line without an end is looked at in pieces
            lines, rest = [*lines, rest], b""
        for line in lines:
            if line.isascii():
                continue
            if _decodes(bytes.decode, line):
                return b""
            sample += line[: _SAMPLE - len(sample)] + b"\n" if len(sample) < _SAMPLE else b""
    return sample


def _guessed(sample: bytes) -> str | None:
    """Return the likeliest encoding; None where nothing is likely, or what guesses is not installed."""
    try:
        from charset_normalizer import from_bytes  # noqa: PLC0415 an extra, and slow to load
    except ImportError:
        return None
    matches = list(from_bytes(sample, cp_isolation=list(_LIKELY)))
    if not matches:
        return None
    best = matches[0]
    even = (one for one in matches if one.chaos <= best.chaos and one.coherence >= best.coherence - _EVEN)
    return _LIKELIEST if any(_LIKELIEST in one.could_be_from_charset for one in even) else best.encoding
