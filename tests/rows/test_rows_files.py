"""Rows of text files as records: what is understood, what is refused, and which row it was."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from omeda_async import ConfigurationError, InvalidRecord
from omeda_async.rows import CAMPAIGNS, DEPLOYMENTS, OPT_OUTS, TRANSACTIONS, RowFile, RowKind


def rows(kind: RowKind, text: str | bytes, name: str = "input", ignore: tuple[str, ...] = ()) -> RowFile:
    data = text if isinstance(text, bytes) else text.encode()
    return RowFile(kind, lambda: io.BytesIO(data), name, ignore)


def read(file: RowFile) -> dict[int, Any]:
    """Return each row by its number: the record, or the field and reason why there is none."""
    found: dict[int, Any] = {}
    for row in file:
        try:
            found[row.number] = dict(row)
        except InvalidRecord as error:
            found[row.number] = (error.field, error.reason)
    return found


@pytest.mark.parametrize(
    ("kind", "text", "record"),
    [
        (
            OPT_OUTS,
            "EmailAddress,BrandId\na@x.com,XXG|XXH\n",
            {"email_address": "a@x.com", "brand_ids": ("XXG", "XXH")},
        ),
        (
            OPT_OUTS,  # written so for a spreadsheet, which would run the cells otherwise
            "email,brand_ids,source\na@x.com,'-XXG|'-XXH,'=Form\n",
            {"email_address": "a@x.com", "brand_ids": ("-XXG", "'-XXH"), "source": "=Form"},
        ),
        (OPT_OUTS, "Email Address,brand_ids\na@x.com,XXG\n", {"email_address": "a@x.com", "brand_ids": ("XXG",)}),
        (
            OPT_OUTS,
            "email;DEPLOYMENT-TYPE-IDS\na@x.com;23 | 25\n",
            {"email_address": "a@x.com", "deployment_type_ids": (23, 25)},
        ),
        (
            OPT_OUTS,
            "email\tDeploymentTypeId\na@x.com\t23\n",
            {"email_address": "a@x.com", "deployment_type_ids": (23,)},
        ),
        (DEPLOYMENTS, "TrackId,UserId\nFOO1,me\n", {"track_id": "FOO1", "user_id": "me"}),
        (CAMPAIGNS, 'id,reason\n12,"late, and wrong"\n', {"campaign_id": "12", "reason": "late, and wrong"}),
        (TRANSACTIONS, "submitKey,milestones\nab,Cancelled\n", {"submit_key": "ab", "milestones": "Cancelled"}),
    ],
)
def test_a_column_is_known_by_the_models_name_and_by_the_providers(
    kind: RowKind, text: str, record: dict[str, Any]
) -> None:
    """A header may hold either name, in any case, and comma, semicolon or tab may separate."""
    file = rows(kind, text)
    assert file.format == "csv"
    assert read(file) == {2: record}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_encodings_and_line_ends_make_no_difference(encoding: str, end: str) -> None:
    """A byte order mark, UTF-16 and every kind of line end are understood."""
    text = end.join(["campaign_id,reason", "1,zu spät", "", "2,"]) + end
    assert read(rows(CAMPAIGNS, text.encode(encoding))) == {
        2: {"campaign_id": "1", "reason": "zu spät"},
        4: {"campaign_id": "2"},
    }


def test_row_numbers_are_those_of_a_spreadsheet() -> None:
    """Blank rows and the header are counted, a cell of two lines is one row, and a row of empty cells is blank."""
    text = 'id,reason\n\n1,"two\nlines"\n,\n2,x\n'
    assert list(read(rows(CAMPAIGNS, text))) == [3, 5]


def test_one_id_a_line_needs_no_header() -> None:
    """A file without any known column name and without separators is a list of ids."""
    file = rows(CAMPAIGNS, "1000248\n\n  1000249  \n")
    assert file.format == "ids"
    assert read(file) == {1: {"campaign_id": "1000248"}, 3: {"campaign_id": "1000249"}}


def test_json_lines_are_known_by_ending_or_content() -> None:
    """Each line is an object with either kind of names, or the id alone."""
    text = '{"TrackId": "F1", "UserId": "u"}\n\n{"id": "F2", "key": "k"}\n'
    expected = {1: {"track_id": "F1", "user_id": "u"}, 3: {"track_id": "F2", "key": "k"}}
    assert read(rows(DEPLOYMENTS, text)) == expected
    assert read(rows(DEPLOYMENTS, '"F3"\n', "x.jsonl")) == {1: {"track_id": "F3"}}


def test_a_bad_line_of_json_is_one_bad_row() -> None:
    """What is no object, no JSON, or names a field twice says so, and the rest goes on."""
    text = '{"id":"1"}\n[1]\n{"id":\n{"id":"2","campaign_id":"3"}\n{"id":NaN}\n' + "[" * 100_000 + '\n{"id":"4"}\n'
    found = read(rows(CAMPAIGNS, text, "x.jsonl"))
    assert found[1] == {"campaign_id": "1"}
    assert found[2] == (None, "must be a JSON object with the fields of one record")
    assert found[3][1].startswith("is no JSON")
    assert found[4] == ("campaign_id", "is given twice, as 'id' and 'campaign_id': give it once")
    assert found[5][1].startswith("is no JSON")
    assert found[6][1].startswith("is no JSON")
    assert found[7] == {"campaign_id": "4"}


def test_a_bad_row_of_csv_names_what_is_wrong_and_the_rest_goes_on() -> None:
    """Ragged rows, stray quotes, ids that are no numbers and bytes that are no text each spoil their own row only."""
    text = (
        b'email,deployment_type_ids\na@x.com\nb@x.com,23,\nc@x.com,23,x\n"d"@x.com,1\n'
        b"e@x.com,12a\n\xff@x.com,1\nf@x.com,1\n"
    )
    found = read(rows(OPT_OUTS, text))
    assert found[2] == (None, "column 2 has no cell: give as many cells as the header has, 2")
    assert found[3] == {"email_address": "b@x.com", "deployment_type_ids": (23,)}
    quote = "put a cell that holds what separates cells in quotation marks"
    assert found[4] == (None, f"cell 3 has no column in the header, which has 2: {quote}")
    assert found[5][1].startswith("cannot be read as CSV")
    assert found[6] == (
        "deployment_type_ids",
        "holds '12a', which is no whole number: give the digits of one, such as 4194",
    )
    assert found[7][0] == "email_address"
    assert found[7][1].startswith("holds letters beyond ASCII, and that the file is written in cp1252 is only guessed:")
    assert found[8] == {"email_address": "f@x.com", "deployment_type_ids": (1,)}


def test_an_empty_cell_for_ids_is_told_from_a_missing_column() -> None:
    """An opt-out whose ids are blank must not silently become one of the whole client."""
    assert read(rows(OPT_OUTS, "email,brand_ids\na@x.com,\n")) == {2: {"email_address": "a@x.com", "brand_ids": None}}


@pytest.mark.parametrize(
    ("kind", "text", "name", "expected"),
    [
        (CAMPAIGNS, "", "x.csv", "holds no rows"),
        (CAMPAIGNS, "\n \n", "x.csv", "holds no rows"),
        (CAMPAIGNS, "name,status\na,b\n", "x", "no usable column.*campaign_id is required"),
        (CAMPAIGNS, "1\n2\n", "x.csv", "no usable column"),
        (OPT_OUTS, "a@x.com\nb@x.com\n", "x", "no usable column.*email_address is required"),
        (OPT_OUTS, "email,brands\na@x.com,XXG\n", "x", "column 'brands' stands for no field"),
        (OPT_OUTS, "email,,source\na@x.com,,s\n", "x", "column 2, which has no name"),
        (OPT_OUTS, "email,EmailAddress\na@x.com,b@x.com\n", "x", "columns 'email' and 'EmailAddress' both are"),
        (OPT_OUTS, 'email,source\na@x.com,"s\nb@x.com,t\n', "x", "quote opened in row 2 is never closed"),
        (CAMPAIGNS, "id,reason\n1," + "x" * 200_000, "x", "row 2"),
        (CAMPAIGNS, '[{"id": "1"}', "x", "JSON array breaks off"),
        (CAMPAIGNS, b"PK\x03\x04rest", "x.xlsx", "save the sheet as CSV"),
        (CAMPAIGNS, b"\x00\x01\x02", "x", "no text file"),
        (CAMPAIGNS, b"\xff\xfea", "x.csv", "UTF-8 or UTF-16"),
    ],
)
def test_a_file_that_is_not_usable_says_what_was_expected(
    kind: RowKind, text: str | bytes, name: str, expected: str
) -> None:
    """What is wrong with the file as a whole is said before a single row is read."""
    with pytest.raises(ConfigurationError, match=expected):
        rows(kind, text, name)


def test_a_column_is_left_out_on_request_only() -> None:
    """A column that stands for nothing stops the file, unless it is named as one to ignore."""
    text = "email,Customer No\na@x.com,17\n"
    assert read(rows(OPT_OUTS, text, ignore=("customer no",))) == {2: {"email_address": "a@x.com"}}
    line = '{"email": "a@x.com", "Customer No": 17}\n'
    assert read(rows(OPT_OUTS, line, ignore=("Customer No",))) == {1: {"email_address": "a@x.com"}}


def test_rows_can_be_counted_and_gone_through_again(tmp_path: Path) -> None:
    """The length is that of what is read, and a second pass gives the same."""
    path = tmp_path / "ids.txt"
    path.write_text("1\n\n2\n")
    file = RowFile.at(CAMPAIGNS, path)
    assert len(file) == 2
    assert read(file) == read(file) == {1: {"campaign_id": "1"}, 3: {"campaign_id": "2"}}


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    """The name and the system's reason are given."""
    with pytest.raises(ConfigurationError, match=r"none\.csv cannot be read: No such file"):
        RowFile.at(CAMPAIGNS, tmp_path / "none.csv")


def test_a_row_shows_its_number_and_never_its_contents() -> None:
    """A repr goes into logs, where no address may stand."""
    row = next(iter(rows(OPT_OUTS, "email\na@x.com\n")))
    assert repr(row) == "Row(2)"
    assert len(row) == 1
    assert row.column("email_address") == "email"


@pytest.mark.parametrize("name", ["", "rows.txt", "rows.csv"])
@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (DEPLOYMENTS, '"track_id"\n"FOO1"\n"FOO2"\n'),
        (DEPLOYMENTS, '"track_id","user_id"\n"FOO1",""\n"FOO2",""\n'),
        (OPT_OUTS, '"email","source"\n"FOO1","s"\n"FOO2","s"\n'),
    ],
)
def test_a_header_in_quotes_is_a_header(kind: RowKind, text: str, name: str) -> None:
    """A quotation mark may begin a line of JSON: a column's name in quotes is no id to be sent."""
    assert [row[kind.target] for row in rows(kind, text, name)] == ["FOO1", "FOO2"]
    assert rows(kind, text, name).format == "csv"


def test_a_line_of_json_may_be_a_quoted_id() -> None:
    """Where the first is no column's name, it is an id."""
    assert [row["track_id"] for row in rows(DEPLOYMENTS, '"FOO1"\n"FOO2"\n')] == ["FOO1", "FOO2"]


@pytest.mark.parametrize(
    "text",
    [
        "key,id,scheduled_for\nk1,FOO1,tomorrow\n",
        "key,id,scheduled_for\nk1,FOÖ,2026-01-01\n",
        "key,id\nk1,FOO1,more\n",
        '{"key": "k1", "id": "FOO1", "scheduled_for": "tomorrow"}\n',
        '{"key": "k1", "id": "FOO1", "id": "FOO2"}\n',
    ],
)
def test_a_row_that_cannot_be_converted_shows_its_key(text: str) -> None:
    """Whatever else is wrong with it, the caller knows it by that."""
    (row,) = rows(DEPLOYMENTS, text)
    assert row.key_alone() == "k1"
    with pytest.raises(InvalidRecord):
        dict(row)


@pytest.mark.parametrize("text", ["id\nFOO1\n", "FOO1\n", '{"id": "FOO1"}\n', '["k"\n', '{"key"\n'])
def test_a_row_without_a_key_shows_none(text: str) -> None:
    """None is made up for it."""
    if not text.startswith("["):
        (row,) = rows(DEPLOYMENTS, text)
        assert row.key_alone() is None


@pytest.mark.parametrize(
    ("kind", "text", "words"),
    [
        (OPT_OUTS, "Adresse;Marke\na@x.com;XXG\n", "its header reads 'Adresse', 'Marke', separated by ;"),
        (OPT_OUTS, "email|brand_ids\na@x.com|XXG\n", "its header reads 'email|brand_ids'"),
        (CAMPAIGNS, "a\tb\n1\t2\n", "its header reads 'a', 'b', separated by tabs"),
        (OPT_OUTS, "someone@x.com\nb@x.com\n", r"its header reads 's\*\*\*@x.com'"),
        (OPT_OUTS, f"{'s' * 60}@x.com\nb@x.com\n", r"its header reads 's\*\*\*@x.com'"),
        (CAMPAIGNS, "a\u202eb,c\n1,2\n", r"reads 'a\\u202eb', 'c'"),
        (
            CAMPAIGNS,
            ",".join("x" * 90 for _ in range(50)) + "\n1\n",
            "reads '" + "x" * 90 + "', .{12,1100} …, separated",
        ),
        (CAMPAIGNS, "sep=;\na;b\n1;2\n", "its header reads 'a', 'b', separated by ;"),
        (CAMPAIGNS, "sep=:\nid:reason\n1:2\n", "sep=: in its first line is none of"),
        (CAMPAIGNS, "sep=\nid\n1\n", "sep= in its first line is none of"),
    ],
)
def test_a_header_that_does_not_fit_is_shown_as_it_was_read(kind: RowKind, text: str, words: str) -> None:
    """Whoever sees the names and the separator sees what went wrong; addresses are masked."""
    with pytest.raises(ConfigurationError, match=words):
        rows(kind, text)


@pytest.mark.parametrize("first", ["sep=;", '"sep=;"', "SEP=;", "sep=;\r"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_the_line_that_names_the_separator_is_no_row(first: str, encoding: str) -> None:
    """A spreadsheet hides it, so that the header is row 1."""
    file = rows(OPT_OUTS, f"{first}\nemail;source\na@x.com;a,b\n".encode(encoding), "in.csv")
    assert len(file) == 1
    assert read(file) == {2: {"email_address": "a@x.com", "source": "a,b"}}


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_separator_may_be_named(delimiter: str) -> None:
    """Also one that would not be found out."""
    file = rows(CAMPAIGNS, f"sep={delimiter}\nid{delimiter}reason\n1{delimiter}late\n")
    assert read(file) == {2: {"campaign_id": "1", "reason": "late"}}


@pytest.mark.parametrize("encoding", ["utf-32", "utf-32-be", "utf-32-le"])
def test_utf_32_is_refused_by_its_mark(encoding: str) -> None:
    """It is named, as what to do about it differs from a file that is no text."""
    with pytest.raises(ConfigurationError, match="is written in UTF-32: save it as UTF-8"):
        rows(CAMPAIGNS, "\ufeff1\n2\n".encode(encoding) if encoding != "utf-32" else "1\n2\n".encode(encoding))


LONG = "x" * 200_000


@pytest.mark.parametrize(
    ("kind", "text", "name", "record"),
    [
        (OPT_OUTS, f'{{"email": "a@x.com", "key": "{LONG}"}}\n', "x.jsonl", {"email_address": "a@x.com", "key": LONG}),
        (CAMPAIGNS, f'{{"id": "1", "key": "{LONG}"}}\n', "x", {"campaign_id": "1", "key": LONG}),
        (CAMPAIGNS, f"# {LONG}\n1\n", "x.txt", {"campaign_id": "1"}),
        (CAMPAIGNS, f"{LONG}\n", "x.txt", {"campaign_id": LONG}),
    ],
    ids=["JSON Lines", "without an ending", "a comment", "an id"],
)
def test_a_first_line_that_is_longer_than_any_cell_is_read(
    kind: RowKind, text: str, name: str, record: dict[str, Any]
) -> None:
    """Only a CSV has cells, and a bound for them."""
    assert list(read(rows(kind, text, name)).values()) == [record]


def test_a_header_with_a_cell_that_is_too_long_is_refused_in_its_own_words() -> None:
    """Not as a text in another encoding."""
    with pytest.raises(ConfigurationError, match=r"a cell of row 1 is longer than 131,072 characters"):
        rows(OPT_OUTS, f"email,{LONG}\na@x.com,1\n", "x.csv")


@pytest.mark.parametrize(
    ("record", "name"),
    [
        ({"contacts": [{"email": "a@x.com"}], "total": 1}, "contacts"),
        ({"data": {"page": 1, "rows": [{"email": "a@x.com"}]}}, "data"),
        ({"source": "api", "Suppressions": [{"EmailAddress": "a@x.com"}]}, "Suppressions"),
    ],
)
@pytest.mark.parametrize("others", [False, True])
def test_records_in_a_list_within_an_object_are_told_where_to_be_found(
    record: dict[str, Any], name: str, others: bool
) -> None:
    """As what pages through contacts writes them: to leave the list out, which is what was advised, leads nowhere."""
    data = json.dumps(record).encode()
    file = RowFile(OPT_OUTS, lambda: io.BytesIO(data), "in.json", ignore_other_columns=others)
    words = f"has no email_address: if its records are in the list in '{name}', give that list alone"
    assert read(file) == {1: (None, words)}


@pytest.mark.parametrize("ids", ["[1000248]", '["1000248"]', '[{"id": 1000248}]'])
def test_a_list_of_ids_within_an_object_is_told_where_to_be_found(ids: str) -> None:
    """Alone it would be a file of ids."""
    file = rows(CAMPAIGNS, f'{{"campaigns": {ids}}}', "in.json")
    words = "has no campaign_id: if its records are in the list in 'campaigns', give that list alone"
    assert read(file) == {1: (None, words)}
    assert read(rows(CAMPAIGNS, ids, "in.json")) == {1: {"campaign_id": "1000248"}}


def test_a_list_in_a_record_that_names_its_reader_is_a_field_like_others() -> None:
    """So a contact with its devices works, and lists that hold no records are none."""
    text = '{"email": "a@x.com", "devices": [{"os": "x"}]}\n{"devices": [], "lists": [1]}\n'
    file = RowFile(OPT_OUTS, lambda: io.BytesIO(text.encode()), "in.jsonl", ignore_other_columns=True)
    assert read(file) == {1: {"email_address": "a@x.com"}, 2: {}}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"email": "a@x.com"},', "is no JSON: it has a comma behind it: remove it"),
        ('// {"email": "a@x.com"}', "is no JSON: it holds a comment: remove it"),
        ('{"email": "a@x.com"} # no', "is no JSON: it holds a comment: remove it"),
        ('{"email": "a@x.com"} {}', "is no JSON: Extra data"),
    ],
)
def test_what_json_does_not_have_is_named(line: str, words: str) -> None:
    """A comment, and the comma that a list leaves behind; nothing of what was written is shown."""
    file = rows(OPT_OUTS, f'{line}\n{{"email": "b@x.com"}}\n', "in.jsonl")
    assert read(file) == {1: (None, words), 2: {"email_address": "b@x.com"}}
