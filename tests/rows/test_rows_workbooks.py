"""Sheets of workbooks: what is read, and what is refused as the file does not hold what the spreadsheet shows."""

import builtins
import gzip
import io
import random
import struct
import zipfile
import zlib
from typing import Any

import pytest

from omeda_async import ConfigurationError
from omeda_async.rows import CAMPAIGNS, DEPLOYMENTS, OPT_OUTS
from tests.rows.reading import read, rows
from tests.rows.workbooks import DATE, PADDED, SCIENTIFIC, Cell, number, workbook, xml_of

TEXT = "format the column as text, and enter it once more"


def test_a_sheet_is_read_as_a_csv_of_the_same_cells_would_be() -> None:
    """Columns by name, several ids in a cell, empty cells, blank rows; the numbers are the spreadsheet's."""
    data = workbook([["Email Address", "BrandId", "key"], ["a@x.com", "XXG|XXH", 17], [], ["b@x.com", None, "  k "]])
    file = rows(OPT_OUTS, data, "people.xlsx")
    assert (file.format, len(file), file.is_cut, file.encoding) == ("xlsx", 2, False, None)
    assert file.columns == {"email_address": "Email Address", "brand_ids": "BrandId", "key": "key"}
    assert read(OPT_OUTS, data, "people.xlsx") == {
        2: {"email_address": "a@x.com", "brand_ids": ("XXG", "XXH"), "key": "17"},
        4: {"email_address": "b@x.com", "brand_ids": None, "key": "k"},
    }
    assert [row.number for row in file] == [row.number for row in file] == [2, 4]


def test_rows_and_columns_may_begin_anywhere() -> None:
    """The numbers are still those that the spreadsheet shows."""
    cell = '<c r="{}" t="inlineStr"><is><t>{}</t></is></c>'
    xml = f'<row r="3">{cell.format("C3", "id")}</row><row r="7">{cell.format("C7", "12")}</row>'
    assert read(CAMPAIGNS, workbook(xml), "in.xlsx") == {7: {"campaign_id": "12"}}


@pytest.mark.parametrize("value", [1000248, 1000248.0, number(1000248, SCIENTIFIC), "1000248"])
def test_a_whole_number_is_its_digits(value: Any) -> None:
    """However a spreadsheet keeps it, and also where it shows an exponent."""
    assert read(CAMPAIGNS, workbook([["id"], [value]]), "in.xlsx") == {2: {"campaign_id": "1000248"}}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (123.5, f"is the number 123.5, and no id: {TEXT}"),
        (1e16, f"is a number of more than 15 digits, which the spreadsheet has rounded: {TEXT}"),
        (number(123, PADDED), "is a number that is shown in a form of its own"),
        (number(46023, DATE), "is a date or a time, which the spreadsheet may have made of something else"),
        ('<c t="b"><v>1</v></c>', "is a truth value (TRUE) and no text"),
        ('<c t="e"><v>#N/A</v></c>', "holds an error of the spreadsheet (such as #N/A): mend it there"),
        ("<c><f>A1+1</f></c>", "is a formula whose value the file does not hold: open the file in a spreadsheet"),
        ("<c><f>A1+1</f><v></v></c>", "is a formula whose value the file does not hold"),
    ],
)
def test_a_cell_that_is_not_what_it_seems_is_refused(value: Any, reason: str) -> None:
    """With the column as the file names it, the reason, and what to do; the rest goes on."""
    data = workbook([["Campaign Id", "key"], [value, "k"], [7, "l"]])
    first, second = rows(CAMPAIGNS, data, "in.xlsx")
    assert str(first.record).startswith(f"campaign_id: {reason}")
    assert (first.number, first.key_alone(), first.column("campaign_id")) == (2, "k", "Campaign Id")
    assert second.fields() == {"campaign_id": "7", "key": "l"}


def test_what_misleads_in_a_column_that_is_left_out_misleads_nobody() -> None:
    """Dates and errors are common in the columns of an export that nobody asks for."""
    data = workbook([["id", "Added", "Score"], [7, number(46023, DATE), '<c t="e"><v>#DIV/0!</v></c>']])
    assert read(CAMPAIGNS, data, "in.xlsx", ignore_other_columns=True) == {2: {"campaign_id": "7"}}


def test_a_formula_counts_by_its_value_also_where_that_is_nothing() -> None:
    """A text that a formula has made empty is an empty cell."""
    cells = ["<c><f>1+6</f><v>7</v></c>", '<c t="str"><f>""</f><v></v></c>']
    assert read(CAMPAIGNS, workbook([["id", "reason"], cells]), "in.xlsx") == {2: {"campaign_id": "7"}}


def test_a_moment_has_to_be_a_text_with_its_offset() -> None:
    """A date of a spreadsheet has none."""
    data = workbook([["TrackId", "scheduled_for"], ["F", number(46023.5, DATE)], ["G", "2026-01-01T10:00:00-06:00"]])
    refused, taken = read(DEPLOYMENTS, data, "in.xlsx").values()
    assert refused.startswith("scheduled_for: is a date of the spreadsheet, which has no offset from UTC")
    assert taken == {"track_id": "G", "scheduled_for": "2026-01-01T10:00:00-06:00"}


def test_the_ids_of_texts_are_judged_as_ever() -> None:
    """What a spreadsheet has made of an id before it was text is refused where any id is."""
    assert read(OPT_OUTS, workbook([["email", "deployment_type_ids"], ["a@x.com", "1.0E+05"]]), "in.xlsx") == {
        2: "deployment_type_ids: is a number with an exponent (such as 1.0E+06): give all its digits"
    }


def test_several_sheets_are_refused_until_one_is_named() -> None:
    """Hidden and empty ones do not come into question by themselves."""
    two = workbook([["id"], [1]], {"More": [["id"], [2]]})
    with pytest.raises(ConfigurationError, match=r"several sheets, 'People', 'More': say which one with --sheet NAME"):
        rows(CAMPAIGNS, two, "in.xlsx")
    assert read(CAMPAIGNS, two, "in.xlsx", sheet="More") == {2: {"campaign_id": "2"}}
    with pytest.raises(ConfigurationError, match=r"has no sheet 'Other': it has 'People', 'More'"):
        rows(CAMPAIGNS, two, "in.xlsx", sheet="Other")
    others: dict[str, list[list[Cell]]] = {"Old": [["id"], [2]], "Empty": []}
    assert len(rows(CAMPAIGNS, workbook([["id"], [1]], others, hidden=["Old"]), "in.xlsx")) == 1


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (workbook([]), "no visible sheet that holds anything"),
        (workbook([["id"]]), "no rows below its header"),
        (workbook(xml_of([["id"], [1], [2]]).replace('<row r="3"', '<row r="3" hidden="1"')), r"hides rows \(3\)"),
        (workbook([["Report"], [], ["id", "reason"], [1]]), "row 3 looks like the header: make it the first"),
        (workbook([["id", "Name", None, "City"], [1]]), r"3 columns .*: 'Name', 3 \(no name\), 'City'; known are"),
        (workbook([["id"], [1]])[:-200], "is damaged or not whole"),
        (b"PK\x03\x04", "save the sheet as CSV"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(9), r"an old form \(\.xls\): save it as \.xlsx or CSV"),
        (
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(65_520) + "EncryptedPackage".encode("utf-16-le"),
            "is encrypted: save it without a password",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "data",
)
def test_a_workbook_of_no_use_says_why(data: bytes, words: str) -> None:
    """Before anything is sent, and what to do about it."""
    with pytest.raises(ConfigurationError, match=words):
        rows(CAMPAIGNS, data, "in.xlsx")


def test_a_header_may_hold_numbers_and_errors() -> None:
    """A year is named as it is shown, an error is no name."""
    data = workbook([["id", '<c t="e"><v>#REF!</v></c>', 2026], [1, "x", "y"]])
    with pytest.raises(ConfigurationError, match=r"2 columns .*: 2 \(no name\), '2026'; known"):
        rows(CAMPAIGNS, data, "in.xlsx")


def test_a_cell_beyond_the_header_spoils_its_row() -> None:
    """As in CSV: nobody can tell what it means."""
    found = read(CAMPAIGNS, workbook([["id"], [1, "x"], [2, " "]]), "in.xlsx")
    assert found == {
        2: "column 2 has no name in the header, and something in its cell: name it, or empty the cell",
        3: {"campaign_id": "2"},
    }


@pytest.mark.parametrize("reference", ['r="XFD1048576"', "r='XFD1048576'", 'r = "XFD1048576"', '\n\tr=\n"XFD1048576"'])
def test_a_sheet_that_spans_more_than_memory_is_refused_before_it_is_unfolded(reference: str) -> None:
    """Two cells may span billions: a few hundred bytes would take all memory there is."""
    corner = f"<row><c {reference}><v>1</v></c></row>"
    with pytest.raises(ConfigurationError, match="spans 1,048,576 rows and 16,384 columns, too many to be read"):
        rows(CAMPAIGNS, workbook(xml_of([["id"]]) + corner), "in.xlsx")


def test_an_archive_that_unfolds_too_far_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """By what it says itself, and by what it holds."""
    monkeypatch.setattr("omeda_async.rows._package.LARGEST", 100_000)
    with pytest.raises(ConfigurationError, match="unfolds to more than"):
        rows(CAMPAIGNS, workbook([["id"], ["x" * 200_000]]), "in.xlsx")


def test_an_archive_that_lies_about_its_size_is_refused() -> None:
    """What reads the values would unfold all of it, whatever the archive says."""
    data = workbook([["id"], *([place] for place in range(2000))])
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        part = archive.getinfo("xl/worksheets/sheet1.xml")
        start = archive.read(part)[:100]
    said, lied = (struct.pack("<LLL", part.CRC, part.compress_size, size) for size in (part.file_size, len(start)))
    lied = struct.pack("<L", zlib.crc32(start)) + lied[4:]
    assert data.count(said) == 2
    with pytest.raises(ConfigurationError, match="is damaged: save the sheet as CSV"):
        rows(CAMPAIGNS, data.replace(said, lied), "in.xlsx")


def test_another_archive_is_no_workbook() -> None:
    """Exports often come as one: the file in it is what is wanted."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("subscribed.csv", "email\n")
    with pytest.raises(ConfigurationError, match=r"is a ZIP archive: give the \.xlsx or the CSV itself"):
        rows(OPT_OUTS, stream.getvalue(), "export.zip")


def test_a_workbook_may_be_packed_and_takes_no_options_of_texts() -> None:
    """Its ending does not matter; an encoding or a delimiter for one is a slip."""
    data = workbook([["id"], [1], [2]])
    assert read(CAMPAIGNS, gzip.compress(data), "in.gz", limit=1) == {2: {"campaign_id": "1"}}
    for option in ({"encoding": "utf-8"}, {"delimiter": ";"}):
        with pytest.raises(ConfigurationError, match="has no encoding and no delimiter"):
            rows(CAMPAIGNS, data, "in.xlsx", **option)
    with pytest.raises(ConfigurationError, match="has no sheets: leave sheet 'People' out"):
        rows(CAMPAIGNS, "id\n1\n", "in.csv", sheet="People")


def test_without_the_extra_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or what to do without."""
    importing = builtins.__import__

    def without(name: str, *more: Any) -> Any:
        if name == "python_calamine":
            raise ImportError(name)
        return importing(name, *more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigurationError, match=r"pip install 'omeda-async\[xlsx\]', or save the sheet as CSV"):
        rows(CAMPAIGNS, workbook([["id"], [1]]), "in.xlsx")


def test_damage_is_refused_or_does_no_harm() -> None:
    """Whatever bytes of a workbook are lost or changed, it is one error of ours, or the same rows."""
    random_ = random.Random(4)  # noqa: S311 the same damage each time
    body: list[list[Cell]] = [[place, f"r{place}"] for place in range(30)]
    data = workbook([["id", "reason"], *body])
    whole = read(CAMPAIGNS, data, "in.xlsx")
    refused = 0
    for _ in range(200):
        spoilt = bytearray(data[: random_.choice([len(data), random_.randrange(4, len(data))])])
        spoilt[random_.randrange(4, len(spoilt))] = random_.randrange(256)
        try:
            assert read(CAMPAIGNS, bytes(spoilt), "in.xlsx") == whole
        except ConfigurationError:
            refused += 1
    assert refused > 150


def test_an_opt_out_reaches_no_further_for_a_merged_cell() -> None:
    """One over the brands of three readers would leave two of them without any: they would be opted out of all."""
    head = ["email", "brand_ids", "deployment_type_ids", "Name"]
    people: list[list[Cell]] = [
        ["a@x.com", "XXG", None, "Berg"],
        ["b@x.com"],
        ["c@x.com"],
        [],
        ["d@x.com", None, None, "Li"],
    ]
    data = workbook([head, *people], merged=["B2:B4", "D2:D4"])
    covered = "brand_ids: is part of a merged cell, whose value belongs to its first row alone or to all"
    found = read(OPT_OUTS, data, "in.xlsx", ignore=["Name"])
    assert found[2]["brand_ids"] == ("XXG",)
    assert covered in found[3]
    assert covered in found[4]
    assert found[6]["email_address"] == "d@x.com"


def test_merged_cells_beside_the_records_do_no_harm() -> None:
    """A title over the header and beyond, a column that is left out, and blank rows under a cell that is merged."""
    rows_of = [["id", None], ["1", None], [None, "x"], [], ["2", None]]
    data = workbook(rows_of, merged=["A1:D1", "B3:F4", "C5:D5", "B1048000:B1048576"])
    assert read(CAMPAIGNS, data, "in.xlsx") == {
        2: {"campaign_id": "1"},
        3: "column 2 has no name in the header, and something in its cell: name it, or empty the cell",
        5: {"campaign_id": "2"},
    }
