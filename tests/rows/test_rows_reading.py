"""How a file of rows behaves while it is read, and what each of its rows can tell."""

import gc
import io
import json
import threading
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, strategies as st

from omeda_async import ConfigurationError, InvalidRecord
from omeda_async.providers.ocamba._converter import cancel_from
from omeda_async.providers.ocamba._operations import build_cancel
from omeda_async.providers.ocamba.models import CampaignCancel
from omeda_async.rows import CAMPAIGNS, DEPLOYMENTS, OPT_OUTS, TRANSACTIONS, Row, RowFile, RowKind

NO_NUMBER = "which is no whole number: give the digits of one, such as 4194"
EACH = "give each of several ids by itself (in one cell: with | between them)"


def rows(kind: RowKind, text: str | bytes, name: str = "input", ignore: tuple[str, ...] = ()) -> RowFile:
    data = text if isinstance(text, bytes) else text.encode()
    return RowFile(kind, lambda: io.BytesIO(data), name, ignore)


def only(kind: RowKind, text: str | bytes, name: str = "input") -> Row:
    (row,) = rows(kind, text, name)
    return row


def reason_in(row: Row) -> str:
    with pytest.raises(InvalidRecord) as caught:
        dict(row)
    return str(caught.value)


def test_a_row_is_a_mapping_of_its_fields() -> None:
    """It is looked into like any other, and gives a dictionary of the caller's own."""
    row = only(CAMPAIGNS, "id,reason,key\n12,late,\n")
    assert isinstance(row, Mapping)
    assert (row["campaign_id"], row.get("reason"), row.get("key"), row.get("key", 1)) == ("12", "late", None, 1)
    assert list(row.items()) == [("campaign_id", "12"), ("reason", "late")]
    assert (list(row), len(row), "key" in row, dict(row)) == (["campaign_id", "reason"], 2, False, row.fields())
    row.fields()["reason"] = "changed"
    assert row["reason"] == "late"
    with pytest.raises(KeyError):
        row["key"]


def test_a_row_that_cannot_be_converted_raises_whatever_is_looked_for() -> None:
    """Each time an error of its own: who catches one may write into it, as a run does."""
    row = only(DEPLOYMENTS, "id,scheduled_for,key\nFOO1,tomorrow,k1\n")
    caught = []
    for look in (row.fields, row.items, lambda: row.get("id"), lambda: row["id"], lambda: len(row), lambda: list(row)):
        with pytest.raises(InvalidRecord) as error:
            look()
        caught.append(error.value)
    caught[0].provider = "omeda"
    assert {one.provider for one in caught[1:]} == {None}
    assert len({id(one) for one in caught}) == len(caught)
    assert (row.key_alone(), row.holds("track_id"), repr(row)) == ("k1", False, "Row(2)")


def test_a_row_knows_what_it_holds_and_what_the_file_calls_it() -> None:
    """A column of CSV by the file's own name for it, else a field."""
    row = only(OPT_OUTS, "E-Mail,Brand IDs,source\na@x.com,,\n")
    assert (row.holds("email_address"), row.holds("brand_ids"), row.holds("source")) == (True, False, False)
    assert (row.column("brand_ids"), row.place("brand_ids")) == ("Brand IDs", "column Brand IDs")
    assert (row.column("level"), row.place("level")) == ("level", "column level")
    line = only(OPT_OUTS, '{"EmailAddress": "a@x.com"}', "in.jsonl")
    assert (line.column("email_address"), line.place("email_address")) == ("email_address", "field email_address")
    assert only(CAMPAIGNS, "12\n").place("campaign_id") == "field campaign_id"


def test_a_key_is_told_from_a_row_of_either_kind() -> None:
    """As it stands in the file: a text of CSV, any value of JSON."""
    assert only(CAMPAIGNS, "id,key\n1, k \n").key_alone() == "k"
    assert only(CAMPAIGNS, '{"id": "1", "Key": 5}', "x.jsonl").key_alone() == 5
    assert only(CAMPAIGNS, '{"id": "1", "id": "2", "key": {"a": 1}}', "x.jsonl").key_alone() == {"a": 1}


@pytest.mark.parametrize(
    ("kind", "text", "found"),
    [
        (OPT_OUTS, "email,brand_ids\na@x.com,\n", {"email_address", "brand_ids"}),
        (OPT_OUTS, '{"email": "a@x.com"}\n{"email": "b@x.com", "level": "client"}\n', {"email_address", "level"}),
        (OPT_OUTS, '{"email": "a@x.com", "level": null}\n', {"email_address"}),
        (DEPLOYMENTS, '{"id":\n{"id": "1"}\n', {"track_id"}),
        (CAMPAIGNS, "12\n", set()),
    ],
)
def test_a_file_tells_which_fields_it_has(kind: RowKind, text: str, found: set[str]) -> None:
    """Columns of CSV, whatever stands in them; of JSON what some line holds; a list of ids has none."""
    file = rows(kind, text)
    assert {field for field in kind.fields if file.has(field)} == found


def test_rows_are_counted_by_their_level() -> None:
    """None where it cannot be told; rows of other kinds have no levels."""
    text = "email,brand_ids,deployment_type_ids,level\na@x.com,X,,\nb@x.com,,7,\nc@x.com,,,\nd@x.com,X,7,\n"
    text += "e@x.com,,,all\nf@x.com,,x,\ng@x.com,X,,client\n"
    assert rows(OPT_OUTS, text).levels() == Counter({"brand": 1, "deployment_type": 1, "client": 1, None: 4})
    assert rows(CAMPAIGNS, "1\n").levels() == Counter()


@pytest.mark.parametrize(
    ("cell", "ids"),
    [
        ("XXG", ("XXG",)),
        ("XXG|XXH", ("XXG", "XXH")),
        ("XXG, XXH", ("XXG", "XXH")),
        ("XXG,XXH", ("XXG", "XXH")),
        ("XXG; XXH | XXI", ("XXG", "XXH", "XXI")),
        ("XXG,", ("XXG",)),
        ("|", ()),
        (" ", None),
        ("12, 345", ("12", "345")),
        ("1234,567", ("1234", "567")),
        ("A1,234", ("A1", "234")),
    ],
)
def test_a_cell_for_several_ids_may_separate_them_as_people_do(cell: str, ids: tuple[str, ...] | None) -> None:
    """By a bar, a comma or a semicolon, with blanks or without."""
    assert only(OPT_OUTS, f'email,brand_ids\na@x.com,"{cell}"\n')["brand_ids"] == ids
    if ids and all(map(str.isdigit, ids)):
        row = only(OPT_OUTS, f'email,deployment_type_ids\na@x.com,"{cell}"\n')
        assert row["deployment_type_ids"] == tuple(map(int, ids))


@pytest.mark.parametrize("cell", ["1,000", "1,000,248", "23|1,000", "1,000; 7", "100,200"])
@pytest.mark.parametrize("field", ["brand_ids", "deployment_type_ids"])
def test_what_may_be_a_number_or_several_ids_is_neither(cell: str, field: str) -> None:
    """Nobody guesses; how to say it is told."""
    reason = reason_in(only(OPT_OUTS, f'email,{field}\na@x.com,"{cell}"\n'))
    assert reason == f"{field}: may be one number or several ids: separate ids by |"


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("4194\u200b", "holds U+200B zero-width space at character 5: remove it"),
        ("4194.0", "is a number with a decimal point (such as 1000248.0): give the digits before it"),
        ("4.194E+03", "is a number with an exponent (such as 1.0E+06): give all its digits"),
        ("-4", f"holds '-4', {NO_NUMBER}"),
        ("4" * 20, f"holds '{'4' * 20}', {NO_NUMBER}"),
        ("٣", f"holds '٣', {NO_NUMBER}"),
        ("4194 4804", f"holds U+0020 space at character 5: {EACH}"),
        ("4194<br>4804", f"holds <br> as a page does: {EACH}"),
        ("[4194", f"begins with [ as a list of JSON does: {EACH}"),
        ("null", "is 'null', as programs write an empty cell: give the id"),
        ("4194\u2026", "is cut short with \u2026: give the whole id"),
        ("4194&nbsp;", "has &nbsp; as a page writes U+00A0 no-break space: remove it"),
        ("1e6", "is a number with an exponent (such as 1.0E+06): give all its digits"),
    ],
)
def test_a_deployment_type_id_is_a_whole_number(cell: str, reason: str) -> None:
    """What is none is shown, or the character that nobody sees is named."""
    row = only(OPT_OUTS, f"email,DeploymentTypeId\na@x.com,23|{cell}\n")
    assert reason_in(row) == f"deployment_type_ids: {reason}"


@pytest.mark.parametrize(
    ("field", "cell", "ids"),
    [
        ("brand_ids", "XXG|XXG", ("XXG",)),
        ("brand_ids", "XXG, XXH, XXG", ("XXG", "XXH")),
        ("deployment_type_ids", "7;07;8", (7, 8)),
    ],
)
def test_an_id_twice_in_a_cell_is_one(field: str, cell: str, ids: tuple[str | int, ...]) -> None:
    """It is sent once, in the place where it came first."""
    assert only(OPT_OUTS, f'email,{field}\na@x.com,"{cell}"\n')[field] == ids


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("XXG&nbsp;", "has &nbsp; as a page writes U+00A0 no-break space: remove it"),
        ("&shy;XXG", "has &shy; as a page writes U+00AD soft hyphen: remove it"),
        ("XXG&#32;XXH", f"has &#32; as a page writes U+0020 space: {EACH}"),
        ("A&amp;B|C", "has &amp; as a page writes a character: write the character"),
    ],
)
def test_what_a_page_writes_for_a_character_separates_no_ids(cell: str, reason: str) -> None:
    """Its semicolon is part of it."""
    assert reason_in(only(OPT_OUTS, f"email,brand_ids\na@x.com,{cell}\n")) == f"brand_ids: {reason}"


def test_an_ampersand_alone_is_of_the_id() -> None:
    """What is no character's name is left to the provider, and separated as ever."""
    assert only(OPT_OUTS, "email,brand_ids\na@x.com,A&B;C\n")["brand_ids"] == ("A&B", "C")


@pytest.mark.parametrize("line", ["null", "true", "1000432.0", "1e6"])
def test_a_value_alone_in_json_is_of_the_target(line: str) -> None:
    """What is no id is refused as one, by its field, and not as something that were no record."""
    assert only(CAMPAIGNS, line, "x.jsonl")["campaign_id"] == json.loads(line)
    with pytest.raises(InvalidRecord, match="the cell is empty" if line == "null" else "must be a string, not"):
        build_cancel(cancel_from(only(CAMPAIGNS, line, "x.jsonl")))


def test_many_different_cells_are_read_like_few() -> None:
    """What is remembered of cells is bounded, and long ones are not remembered at all."""
    cells = [f"A{number}|B" for number in range(10_100)] + ["C" * 200, "C" * 200, "A0|B"]
    file = rows(OPT_OUTS, "email,brand_ids\n" + "".join(f"a@x.com,{cell}\n" for cell in cells))
    assert [row["brand_ids"] for row in file] == [tuple(cell.split("|")) for cell in cells]


def test_comment_lines_of_a_list_are_left_out_and_counted() -> None:
    """They keep their numbers; the first may say what the list is about, with whatever signs."""
    file = rows(CAMPAIGNS, "# campaigns, to cancel\n\n1000248\n  # spring\n1000249\n#\n")
    assert file.format == "ids"
    assert {row.number: row["campaign_id"] for row in file} == {3: "1000248", 5: "1000249"}
    assert (len(file), file.comments) == (2, 3)


def test_only_a_list_of_ids_has_comments() -> None:
    """A cell or a line of JSON that begins with # is what it is."""
    file = rows(CAMPAIGNS, "id\n#1000248\n")
    assert ([row["campaign_id"] for row in file], file.comments) == (["#1000248"], 0)
    file = rows(CAMPAIGNS, "#id,reason\n1,x\n")
    assert (file.format, [dict(row) for row in file]) == ("csv", [{"campaign_id": "1", "reason": "x"}])
    file = rows(CAMPAIGNS, '# spring\n{"id": "1"}\n')
    assert (len(file), file.comments, file.format) == (2, 0, "jsonl")


@pytest.mark.parametrize("text", ["# nothing\n", "# nothing\n\n# at all\n"])
def test_comments_alone_are_no_rows(text: str) -> None:
    """Such a list is refused like an empty one."""
    with pytest.raises(ConfigurationError, match="holds no rows"):
        rows(CAMPAIGNS, text)


def test_an_id_whose_bytes_are_no_text_spoils_its_own_line_only() -> None:
    """In a list, and in JSON, where it may stand anywhere."""
    bad, good = rows(CAMPAIGNS, b"1\xff\n2\n")
    assert reason_in(bad).startswith("campaign_id: holds letters beyond ASCII")
    assert dict(good) == {"campaign_id": "2"}
    bad, good = rows(CAMPAIGNS, b'{"id": "1", "reason": "\xff"}\n{"id": "2"}\n', "x.jsonl")
    assert reason_in(bad) == "holds bytes that are not UTF-8: save the file as UTF-8"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1000248", "1000248"),
        ("18446744073709551616", "18446744073709551616"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("-1", "-1"),
    ],
)
@pytest.mark.parametrize("line", ["{}", '{{"id": {}}}', '{{"reason": "r", "campaign_id": {}}}'])
def test_a_whole_number_of_json_is_an_id_to_its_last_digit(line: str, value: str, expected: str) -> None:
    """However large it is."""
    assert only(CAMPAIGNS, line.format(value), "x.jsonl")["campaign_id"] == expected


@pytest.mark.parametrize("value", ["true", "null", "1.0", "1e3", "[1]"])
def test_another_value_of_json_is_left_as_it_is(value: str) -> None:
    """The check of the record refuses it; nobody makes an id of it."""
    row = only(CAMPAIGNS, f'{{"id": {value}}}', "x.jsonl")
    assert row["campaign_id"] == json.loads(value)
    assert type(row["campaign_id"]) is type(json.loads(value))


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "01", "'x'", "1,}", "tru"])
def test_what_json_does_not_know_is_refused(value: str) -> None:
    """Whatever Python's own reader takes."""
    assert reason_in(only(CAMPAIGNS, f'{{"id": {value}}}', "x.jsonl")).startswith("is no JSON")


@pytest.mark.parametrize(
    ("kind", "line", "field"),
    [
        (CAMPAIGNS, '{"id": "1", "id": "1"}', "campaign_id"),
        (CAMPAIGNS, '{"id": "1", "\\u0069d": "2"}', "campaign_id"),
        (CAMPAIGNS, '{"campaign_id": "1", "reason": "a", "reason": "b"}', "reason"),
        (OPT_OUTS, '{"email_address": "a@x.com", "brand_ids": ["A"], "brand_ids": []}', "brand_ids"),
    ],
)
def test_a_name_given_twice_is_refused_whatever_it_holds(kind: RowKind, line: str, field: str) -> None:
    """Under one name or two, escaped or not: nobody guesses which is meant."""
    assert reason_in(only(kind, line, "x.jsonl")) == f"{field}: is given twice: give it once"


def test_two_names_of_one_field_are_both_named() -> None:
    """Whoever gave them sees at once which to leave out."""
    line = '{"submit_key": "a", "key": "k", "submitKey": "a"}'
    assert reason_in(only(TRANSACTIONS, line, "x.jsonl")) == (
        "submit_key: is given twice, as 'submit_key' and 'submitKey': give it once"
    )


def test_an_object_inside_a_line_is_a_dictionary() -> None:
    """It is no field's value, and the check of the record says so."""
    row = only(CAMPAIGNS, '{"id": "1", "reason": {"a": [1.5]}}', "x.jsonl")
    assert row["reason"] == {"a": [1.5]}


def test_fields_of_json_are_left_out_on_request() -> None:
    """Whichever line has them, and however they are written; one that no line has is a slip."""
    text = '{"id": "1"}\n{"id": "2", "customer-no": {"a": 1}}\n'
    file = rows(CAMPAIGNS, text, "x.jsonl", ignore=("Customer No",))
    assert [dict(row) for row in file] == [{"campaign_id": "1"}, {"campaign_id": "2"}]
    with pytest.raises(ConfigurationError, match="has no field 'Costumer' to leave out"):
        rows(CAMPAIGNS, text, "x.jsonl", ignore=("Customer No", "Costumer"))
    with pytest.raises(ConfigurationError, match="has no column 'Costumer' to leave out"):
        rows(CAMPAIGNS, "id\n1\n", ignore=("Costumer",))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('"i"d,reason\n1,x\n', r"the header \(row 1\) cannot be read as CSV"),
        ("id,reason\n", "holds no rows below its header"),
        ("id,reason\n,\n", "holds no rows below its header"),
        (",\n", "holds no rows"),
    ],
)
def test_a_header_that_is_none_or_stands_alone_is_told(text: str, message: str) -> None:
    """Before anything is read below it."""
    with pytest.raises(ConfigurationError, match=message):
        rows(CAMPAIGNS, text, "in.csv")


def test_names_and_cells_beyond_the_header_s_last_name_may_be_empty() -> None:
    """As spreadsheets write them."""
    file = rows(CAMPAIGNS, "id,reason,,\n1,a,,\n2,b\n3,c,,,,\n4,d,x\n")
    found = [row.record if isinstance(row.record, dict) else None for row in file]
    assert found == [
        {"campaign_id": "1", "reason": "a"},
        {"campaign_id": "2", "reason": "b"},
        {"campaign_id": "3", "reason": "c"},
        None,
    ]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-01T10:00:00-06:00", None),
        ("2026-01-01 10:00:00Z", None),
        ("tomorrow", "is 'tomorrow': give ISO 8601, such as 2026-01-01T10:00:00-06:00"),
        ("2026-01-01T10:00:00", "has no offset from UTC: give it with one, such as 2026-01-01T10:00:00-06:00"),
    ],
)
def test_a_moment_is_looked_at_where_it_is_read(text: str, moment: str | None) -> None:
    """In CSV and in JSON alike; it stays the text it is."""
    for row in (
        only(DEPLOYMENTS, f"id,scheduled_for\nFOO1,{text}\n"),
        only(DEPLOYMENTS, f'{{"id": "FOO1", "scheduled_for": "{text}"}}', "x.jsonl"),
    ):
        if moment is None:
            assert row["scheduled_for"] == text
        else:
            assert reason_in(row) == f"scheduled_for: {moment}"


class _Opened(io.BytesIO):
    """A file that notes when it is closed."""

    closings = 0

    def close(self) -> None:
        type(self).closings += not self.closed
        super().close()


def test_a_file_is_opened_once_and_closed_with_its_last_row_reader() -> None:
    """However often it is gone through, and also where it is refused."""
    opened = []

    def open_it() -> _Opened:
        opened.append(_Opened(b"1\n2\n"))
        return opened[-1]

    _Opened.closings = 0
    file = RowFile(CAMPAIGNS, open_it, "ids.txt")
    through = iter(file)
    assert [row.number for row in file] == [1, 2]
    assert (len(opened), opened[0].closed) == (1, False)
    del file
    gc.collect()
    assert [row.number for row in through] == [1, 2]
    del through
    gc.collect()
    assert opened[0].closed
    with pytest.raises(ConfigurationError):
        RowFile(OPT_OUTS, open_it, "ids.txt")
    gc.collect()
    assert opened[1].closed


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_two_readers_do_not_disturb_each_other(end: str, encoding: str) -> None:
    """Turn by turn, and from two threads; the file is larger than what is read at once."""
    text = end.join(["id,reason", *(f'{number},"zu{end}spät"' for number in range(9000))])
    file = rows(CAMPAIGNS, text.encode(encoding))
    expected = [{"campaign_id": str(number), "reason": f"zu{end}spät"} for number in range(9000)]
    assert all(dict(one) == dict(other) for one, other in zip(file, file, strict=True))
    found: list[list[dict[str, Any]]] = []
    threads = [threading.Thread(target=lambda: found.append([dict(row) for row in file])) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected, expected]
    assert len(file) == 9000


@pytest.mark.parametrize("kind", [OPT_OUTS, DEPLOYMENTS, CAMPAIGNS, TRANSACTIONS])
def test_a_kind_knows_its_fields_by_every_name(kind: RowKind) -> None:
    """And tells what a file of such rows looks like."""
    for name, field in {**{field: field for field in kind.fields}, **kind.also}.items():
        assert {kind.field(name), kind.field(name.upper()), kind.field(name.replace("_", " "))} == {field}
    assert kind.field("something else") is None
    assert kind.field(kind.short) == kind.target
    assert f"{kind.target} is required, known are {', '.join(kind.fields)}" in kind.expected
    assert ("one id a line" in kind.expected) == kind.bare
    assert (f"put a line that reads {kind.short} above the first" in kind.expected) == (not kind.bare)


@given(st.lists(st.sampled_from(["1", "# x", "", "  ", " #", "a#", "22"]), min_size=1, max_size=8), st.booleans())
def test_a_list_has_as_many_rows_as_it_says(lines: list[str], last: bool) -> None:
    """Whatever stands between them, and whether the last line ends."""
    expected = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    text = "\n".join(lines) + "\n" * last
    if not expected:
        with pytest.raises(ConfigurationError):
            rows(CAMPAIGNS, text, "ids.txt")
        return
    file = rows(CAMPAIGNS, text, "ids.txt")
    assert [row["campaign_id"] for row in file] == expected
    assert (len(file), file.comments) == (len(expected), sum(line.lstrip().startswith("#") for line in lines))


ODD_BLANKS = ["\u00a0", "\u2003", "\u3000", "\u202f", "\x0b", "\x1f", "\x85"]


@pytest.mark.parametrize("blank", ODD_BLANKS, ids=ascii)
@pytest.mark.parametrize(
    "text", ["campaign_id\n{}\n", "campaign_id,reason\n{},x\n", "7\n{}\n", '{{"campaign_id": "{}"}}\n']
)
def test_blanks_that_no_model_takes_are_not_trimmed_from_files(text: str, blank: str) -> None:
    """Spaces, tabs and line ends around a cell are left out; any other is the record's, and is refused there."""
    if blank in {"\x0b", "\x1f"} and text.startswith("{{"):
        pytest.skip("JSON itself refuses it")
    for value in (f"12{blank}", f"{blank}12"):
        *_, row = rows(CAMPAIGNS, text.format(value))
        assert row["campaign_id"] == value
        with pytest.raises(InvalidRecord):
            build_cancel(CampaignCancel(row["campaign_id"]))
    if not text.startswith("{{"):
        *_, row = rows(CAMPAIGNS, text.format("\t 12 "))
        assert row["campaign_id"] == "12"


@pytest.mark.parametrize("blank", ODD_BLANKS, ids=ascii)
def test_ids_of_an_opt_out_keep_odd_blanks_too(blank: str) -> None:
    """A cell of nothing else is no empty cell, which would reach further."""
    text = f"email,brand_ids\na@example.com,{blank}\na@example.com, XXG |{blank}XXH\n"
    assert [row["brand_ids"] for row in rows(OPT_OUTS, text)] == [(blank,), ("XXG", f"{blank}XXH")]
