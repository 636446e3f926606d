"""Files packed with gzip, JSON arrays, and files that are something else than their name says."""

import gzip
import tracemalloc
import zlib
from typing import Any

import pytest

from omeda_async import ConfigurationError
from omeda_async.rows import CAMPAIGNS, OPT_OUTS, RowKind
from tests.rows.reading import read, rows

MANY = "email\n" + "".join(f"reader{number}@example.com\n" for number in range(20_000))
MIB = 1024 * 1024


def in_words(value: object) -> str:
    """Return the name of a parameter in a test's name: bytes have none, as those that gzip writes hold the time."""
    return value if isinstance(value, str) else "data"


def bomb(start: bytes, unit: bytes, times: int) -> bytes:
    """Pack something that goes on and on."""
    packer = zlib.compressobj(9, wbits=31)
    return b"".join([packer.compress(start), *(packer.compress(unit) for _ in range(times)), packer.flush()])


@pytest.mark.parametrize(
    ("name", "text", "format_"),
    [
        ("in.csv.gz", "id\n1\n2", "csv"),
        ("in.CSV.GZ", "id\n1\n2", "csv"),
        ("in.csv", "id\n1\n2", "csv"),
        ("in.jsonl.gz", '"1"\n"2"', "jsonl"),
        ("in.json.gz", "[1, 2]", "json"),
        ("in.gz", "1\n2", "ids"),
    ],
)
def test_what_is_packed_is_read_as_what_it_holds(name: str, text: str, format_: str) -> None:
    """The format is found by the ending before .gz, or by the content; whether it is cut is known, too."""
    file = rows(CAMPAIGNS, gzip.compress(text.encode()), name)
    assert (file.format, file.is_cut) == (format_, format_ != "json")
    assert [row["campaign_id"] for row in file] == [row["campaign_id"] for row in file] == ["1", "2"]


def test_members_one_after_the_other_are_one_file() -> None:
    """As programs append to such files; some fill up with zeros."""
    data = gzip.compress(b"email\na@x.com\n") + gzip.compress(b"b@x.com\n") + bytes(50)
    assert list(read(OPT_OUTS, data, "in.csv.gz")) == [2, 3]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (gzip.compress(MANY.encode())[:-5000], "is cut short: its packed content"),
        (gzip.compress(MANY.encode())[:-3], "is cut short"),
        (gzip.compress(MANY.encode())[:-8] + b"12345678", "is damaged and cannot be unpacked"),
        (gzip.compress(b"email\na@x.com\n") + b"more", "is damaged"),
        (gzip.compress(gzip.compress(b"email\n")), "is packed twice: unpack it once"),
        (b"\x1f\x8b", "is cut short"),
        (gzip.compress(b""), "holds no rows"),
    ],
    ids=in_words,
)
def test_a_packed_file_that_is_not_whole_is_refused(data: bytes, words: str) -> None:
    """Before a single row of it is sent."""
    with pytest.raises(ConfigurationError, match=words):
        rows(OPT_OUTS, data, "in.csv.gz")


@pytest.mark.parametrize(
    ("start", "unit", "words"),
    [
        (b"email\na@x.com\n", b"a", "has a line of more than 1 MiB: give one record a line"),
        (b"email\na@x.com\n", b"\n" + b" " * 1023, None),
        (b'["', b"a", "a record, 1, that is no JSON, or longer than 1 MiB"),
        (b"[", b"[", "a record, 1, that is no JSON, or longer than 1 MiB"),
    ],
    ids=in_words,
)
def test_what_unfolds_without_end_takes_no_memory_without_end(
    monkeypatch: pytest.MonkeyPatch, start: bytes, unit: bytes, words: str | None
) -> None:
    """Some KiB that would be many MiB are refused, or gone through, in less than they unfold to."""
    for module in ("_source", "_array"):
        monkeypatch.setattr(f"omeda_async.rows.{module}._LONGEST", MIB)
    data = bomb(start, unit * (MIB // len(unit)), 24)
    assert len(data) < MIB // 16
    name = "in.json.gz" if start.startswith(b"[") else "in.csv.gz"
    tracemalloc.start()
    try:
        if words is None:
            assert len(rows(OPT_OUTS, data, name)) == 1
        else:
            with pytest.raises(ConfigurationError, match=words):
                rows(OPT_OUTS, data, name)
        assert tracemalloc.get_traced_memory()[1] < 8 * MIB
    finally:
        tracemalloc.stop()


def test_a_json_array_gives_its_elements_with_their_numbers() -> None:
    """Objects, or ids where a row may be the target alone; they need no lines of their own."""
    text = (
        '[{"email":"a@x.com"},\n\t{"EmailAddress":"b@x.com","BrandId":["X"]} , {"email": 1,\n"email_address": "d"}, 5]'
    )
    assert read(OPT_OUTS, text, "in.json") == {
        1: {"email_address": "a@x.com"},
        2: {"email_address": "b@x.com", "brand_ids": ["X"]},
        3: "email_address: is given twice, as 'email' and 'email_address': give it once",
        4: "must be a JSON object with the fields of one record",
    }
    assert [*read(CAMPAIGNS, '[1, "2", null]', "in").values()][:2] == [{"campaign_id": "1"}, {"campaign_id": "2"}]


def test_a_number_that_is_none_is_told() -> None:
    """Python writes it where there is nothing."""
    reason = "is no JSON: it holds NaN, which is no number: write null, or leave the field out"
    assert read(CAMPAIGNS, '[{"id": NaN}]', "in.json") == {1: reason}
    assert read(CAMPAIGNS, '{"id": NaN}', "in.jsonl") == {1: reason}


def test_an_array_is_read_piece_by_piece() -> None:
    """Also where a piece ends within a text, a number, an escape or a letter of several bytes."""
    values = [
        f'{{"id": "{number:0{number % 40 + 1}}", "reason": "\\u00e4ß{"x" * (number % 97)}"}}' for number in range(3000)
    ]
    text = "[" + ",\n ".join(values) + "]"
    for encoding in ("utf-8", "utf-16"):
        found = read(CAMPAIGNS, text.encode(encoding), "in.json")
        assert list(found) == list(range(1, 3001))
        assert all(one["campaign_id"] == f"{number:0{number % 40 + 1}}" for number, one in enumerate(found.values()))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[1,", "breaks off: the file is not whole"),
        ('[{"id": 1}', "breaks off: the file is not whole"),
        ('[{"id": "1', "has a record, 1, that is not whole, or no JSON: Unterminated string"),
        ("[1 2]", "has '2' behind record 1, where ',' has to stand"),
        ("[1}", "has '}' behind record 1, where ',' has to stand"),
        ("[1,]", "has a comma behind its last record: remove it"),
        ("[1, // a\n 2]", "has a record, 2, that is not whole, or no JSON: it holds a comment: remove it"),
        ("[1]\n[2]", "something follows the end of the JSON array"),
        ("[ ]", "holds no rows"),
        ("{\n", "is one JSON object over several lines: give an array, or JSON Lines"),
    ],
)
def test_an_array_that_is_none_is_refused_as_a_whole(text: str, words: str) -> None:
    """Nobody can tell where the next record would begin."""
    with pytest.raises(ConfigurationError, match=words):
        rows(CAMPAIGNS, text, "in.json")


@pytest.mark.parametrize(
    ("kind", "text"),
    [(OPT_OUTS, "email;key\na@omeda.com;1\n"), (OPT_OUTS, '"email"\na@omeda.com\n'), (CAMPAIGNS, "id\n1\n")],
    ids=in_words,
)
def test_csv_under_a_name_of_json_is_refused_as_a_whole(kind: RowKind, text: str) -> None:
    """Each of its lines would be no JSON; the name alone is wrong."""
    for name in ("in.json", "in.jsonl"):
        with pytest.raises(ConfigurationError, match=r"CSV by its first line: let its name end in \.csv"):
            rows(kind, text, name)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"<html><table><tr><td>email</td></tr></table></html>", "is a page or XML, whatever its name says"),
        (b"\xef\xbb\xbf<?xml version='1.0'?><Workbook/>", "is a page or XML"),
        (b"%PDF-1.7\n", "is a PDF document: export the rows as CSV"),
        (b"BZh91AY&SY\0", "is packed by bzip2: unpack it, or pack it with gzip"),
        (b"\xfd7zXZ\0\0", "is packed by xz"),
        (b"\x28\xb5\x2f\xfd\0", "is packed by zstd"),
    ],
    ids=in_words,
)
def test_what_is_something_else_is_called_by_its_name(data: bytes, words: str) -> None:
    """Programs call pages .xls, and people rename archives."""
    with pytest.raises(ConfigurationError, match=words):
        rows(OPT_OUTS, data, "in.csv")


@pytest.mark.parametrize("text", ["Report of 2026\n\nemail,key\na@x.com,1\n", "Report,of\n\n\nemail,key\na@x.com,1\n"])
def test_lines_above_the_header_are_told(text: str) -> None:
    """They are no header, and the one that looks like it is named."""
    with pytest.raises(ConfigurationError, match=r"row \d looks like the header: make it the first"):
        rows(OPT_OUTS, text)


def test_a_quotation_mark_within_a_cell_is_told_how_to_be_written() -> None:
    """The row is refused, and the rest goes on."""
    found: dict[int, Any] = read(OPT_OUTS, 'email,source\na@x.com,"say "hi" now"\nb@x.com,x\n')
    assert found[2].endswith('write a quotation mark within a cell twice ("")')
    assert found[3] == {"email_address": "b@x.com", "source": "x"}
