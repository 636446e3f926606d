"""Columns that stand for nothing, for something else than their name says, and for the same as another."""

from pathlib import Path
from typing import Any

import pytest

from omeda_async import ConfigurationError
from omeda_async.rows import CAMPAIGNS, DEPLOYMENTS, OPT_OUTS, TRANSACTIONS, RowFile, RowKind
from tests.rows.reading import read, rows
from tests.rows.workbooks import workbook

EXPORTS = sorted((Path(__file__).parents[1] / "samples" / "exports").glob("*.*"))
MAILCHIMP = "Email Address,First Name,Last Name,MEMBER_RATING,OPTIN_TIME,LEID,EUID,NOTES,TAGS\n" + "a@x.com" + "," * 8


def test_all_columns_that_stand_for_nothing_are_named_at_once() -> None:
    """With all ways out: eight tries for eight columns are seven too many."""
    with pytest.raises(ConfigurationError) as caught:
        rows(OPT_OUTS, MAILCHIMP)
    message = str(caught.value)
    assert "in.csv: 8 columns stand for no field of opt-outs: 'First Name', 'Last Name', 'MEMBER_RATING'," in message
    assert "'NOTES', 'TAGS'; known are email_address, brand_ids" in message
    for way_out in (
        "--ignore-other-columns",
        "--ignore-column NAME",
        "--column brand_ids=NAME",
        "columns={'brand_ids'",
    ):
        assert way_out in message


def test_they_are_left_out_on_request_and_what_is_read_is_told() -> None:
    """Whoever leaves out what nobody has named should see what is left."""
    file = rows(OPT_OUTS, MAILCHIMP, ignore_other_columns=True)
    assert [row.fields() for row in file] == [{"email_address": "a@x.com"}]
    assert file.notes == ("Of the columns of in.csv 8 are left out; read are 'Email Address' as email_address",)
    assert rows(OPT_OUTS, "email,note\na@x.com,n\n", ignore=["note"]).notes == ()


@pytest.mark.parametrize("path", [path for path in EXPORTS if path.suffix != ".md"], ids=lambda path: path.name)
def test_the_exports_of_mailing_services_work_as_they_are(path: Path) -> None:
    """Whatever they separate by, write in, and have beside the address."""
    file = RowFile.at(OPT_OUTS, path, ignore_other_columns=True)
    addresses = [row["email_address"] for row in file]
    assert addresses in (["anna.berg@example.com", "jose@example.com"], ["li@example.com", "omar@example.org"])


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("in.csv", "Contact,Ref,Email\na@x.com,7,b@x.com\n"),
        ("in.jsonl", '{"Contact": "a@x.com", "Ref": "7", "Email": "b@x.com"}\n'),
        ("in.json", '[{"Contact": "a@x.com", "Ref": "7", "Email": "b@x.com"}]'),
        ("in.xlsx", workbook([["Contact", "Ref", "Email"], ["a@x.com", 7, "b@x.com"]])),
    ],
    ids=["csv", "jsonl", "json", "xlsx"],
)
def test_a_column_may_be_said_to_stand_for_a_field(name: str, data: str | bytes) -> None:
    """It goes before one whose name is known, which is left out then: that one was meant is what was said."""
    (record,) = read(OPT_OUTS, data, name, columns={"EmailAddress": "contact", "key": "Ref"}).values()
    assert record == {"email_address": "a@x.com", "key": "7"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"columns": {"email": "Mail"}}, "has no column 'Mail' for email_address"),
        ({"columns": {"nope": "Contact"}}, "'nope' is no field of opt-outs: known are email_address, brand_ids"),
        ({"columns": {"email": "Contact", "key": "CONTACT"}}, "'CONTACT' cannot be key: CONTACT twice is asked for"),
        ({"columns": {"email": "Contact", "EmailAddress": "Email"}}, "both Contact and Email is asked for"),
        ({"columns": {"email": "Contact"}, "ignore": ["contact"]}, "cannot be email_address"),
        ({"ignore": ["Nobody"]}, "has no column 'Nobody' to leave out"),
        ({"ignore": ["Email"], "ignore_other_columns": True}, "no usable column.*--column email_address=NAME"),
    ],
)
def test_what_contradicts_itself_or_is_not_there_is_refused(options: dict[str, Any], words: str) -> None:
    """It may be a slip for something else."""
    with pytest.raises(ConfigurationError, match=words):
        rows(OPT_OUTS, "Email,Contact\na@x.com,b@x.com\n", **options)


OTHERS: dict[str, Any] = {"ignore_other_columns": True}
RECORDS = [
    (CAMPAIGNS, "1000249,\n1000250,\n", "1000249"),
    (CAMPAIGNS, "1000249,late\n1000250,\n", "1000249"),
    (DEPLOYMENTS, "FOO210101001;\nFOO210101002;\n", "FOO210101001"),
    (TRANSACTIONS, "9cf3a2b1-0e06-4b7e-9d7c-0a1b2c3d4e5f\tx\ny\tz\n", "9cf3a2b1-0e06-4b7e-9d7c-0a1b2c3d4e5f"),
    (OPT_OUTS, "a@x.com,XXG\nb@x.com,XXG\n", "a@x.com"),
]


@pytest.mark.parametrize(("kind", "text", "first"), RECORDS)
@pytest.mark.parametrize("name", ["in.csv", "in"])
def test_a_first_row_that_reads_like_a_record_is_not_lost_as_a_header(
    kind: RowKind, text: str, first: str, name: str
) -> None:
    """The advice is to put a header above it; that it is chosen as one by name is refused, too."""
    with pytest.raises(ConfigurationError, match=f"put a row with names above it, such as {kind.short}$") as caught:
        rows(kind, text, name)
    assert "--column" not in caught.value.message
    with pytest.raises(ConfigurationError, match="that row would not be sent: put a row with names above it"):
        rows(kind, text, name, columns={kind.target: first}, ignore_other_columns=True)
    assert first in [
        row[kind.target] for row in rows(kind, f"{kind.short}{text[len(first)]}other\n{text}", name, **OTHERS)
    ]


@pytest.mark.parametrize("header", ["Address 2,Q3", "e1,x", "2024,reason", "id,1000249"])
def test_a_header_with_digits_is_one(header: str) -> None:
    """Where it has more letters, or another name in it is known."""
    first = header.partition(",")[0]
    assert len(rows(CAMPAIGNS, f"{header}\n7,8\n", columns={"campaign_id": first}, **OTHERS)) == 1


def test_a_header_further_down_is_not_said_to_have_nothing_above_it_that_counts() -> None:
    """What stands above it may be a record."""
    with pytest.raises(ConfigurationError, match="row 2 looks like the header: make it the first, and remove what is"):
        rows(CAMPAIGNS, "1000249,\nid,reason\n1,\n")


def test_a_name_that_no_record_of_json_has_is_refused() -> None:
    """There is no header to look into: all records are."""
    line = '{"email": "a@x.com"}\n'
    with pytest.raises(ConfigurationError, match="has no field 'Mail' for key"):
        rows(OPT_OUTS, line + line, "in.jsonl", columns={"key": "Mail"})
    assert len(rows(OPT_OUTS, f'{line}{{"email": "b@x.com", "Mail": 1}}\n', "in.jsonl", columns={"key": "Mail"})) == 2


@pytest.mark.parametrize("others", [False, True])
def test_two_columns_for_one_field_are_both_named(others: bool) -> None:
    """Nobody can tell which one is meant; leaving out others is no answer to that."""
    text = "Email,Email Address,Name\na@x.com,b@x.com,A\n"
    with pytest.raises(ConfigurationError, match="'Email' and 'Email Address' both are email_address: say which"):
        rows(OPT_OUTS, text, ignore_other_columns=others)
    assert len(rows(OPT_OUTS, text, ignore=["Email"], ignore_other_columns=True)) == 1


def test_all_fields_of_json_that_stand_for_nothing_are_named_at_once() -> None:
    """In the row that has them; left out on request."""
    line = '{"email": "a@x.com", "first": 1, "last": {"deep": [1.5]}}\n'
    (reason,) = read(OPT_OUTS, line, "in.jsonl").values()
    assert reason.startswith("2 fields stand for no field of opt-outs: 'first', 'last'; known are")
    assert "--ignore-other-columns" in reason
    assert read(OPT_OUTS, line, "in.jsonl", ignore_other_columns=True) == {1: {"email_address": "a@x.com"}}


def test_a_header_of_many_columns_makes_no_endless_message() -> None:
    """Fifty are named, each with its first characters and a mark that it goes on, and the rest counted."""
    names = ",".join(f"{'x' * 200}{number}" for number in range(80))
    with pytest.raises(ConfigurationError, match=r"80 columns .* and 30 more; known") as caught:
        rows(CAMPAIGNS, f"id,{names}\n1{',' * 80}\n")
    assert f"'{'x' * 120}…'" in str(caught.value)
    assert len(str(caught.value)) < 8000


def test_a_name_is_shown_so_that_it_can_be_given_back() -> None:
    """One that was cut in silence is no column's; a blank one, and two that read the same, need other ways out."""
    long = "Unsubscribed from email: Marketing Information, and offers"
    text = f'email,,"{long}"\na@x.com,x,true\n'
    with pytest.raises(ConfigurationError, match=f"2 .no name., {long!r}; known .*; the NAME of one without is ''"):
        rows(OPT_OUTS, text)
    assert read(OPT_OUTS, text, ignore=[long, ""]) == {2: {"email_address": "a@x.com"}}
    record = f'{{"email": "a@x.com", "{long}": true}}\n'
    assert f"field {long!r} stands for no field" in read(OPT_OUTS, record, "in.jsonl")[1]
    for name in ("email", "E-Mail"):
        with pytest.raises(ConfigurationError, match="both are email_address: rename one of them"):
            rows(OPT_OUTS, f"email,{name}\na@x.com,b@x.com\n")


@pytest.mark.parametrize(("sign", "delimiter"), [("|", ","), ("^", ","), ("~", ";")])
def test_what_stands_before_an_address_is_not_sent_with_it(sign: str, delimiter: str) -> None:
    """Such signs may stand in an address: a column that is several is refused, and the way out is told."""
    text = f"source{sign}email{delimiter}key\nshop{sign}a@x.com{delimiter}1\n"
    alone = f"source{sign}email\nshop{sign}a@x.com\n"
    chosen = {"email": f"source{sign}email"}
    with pytest.raises(ConfigurationError, match=rf"if \{sign} separates its cells, say --delimiter '\{sign}'"):
        rows(OPT_OUTS, alone)
    for one in (text, alone):
        with pytest.raises(ConfigurationError, match=rf"several with \{sign} between them: say --delimiter '\{sign}'"):
            rows(OPT_OUTS, one, columns=chosen)
    found = {2: {"email_address": "a@x.com", "source": "shop"}}
    assert read(OPT_OUTS, alone, delimiter=sign) == found
    assert read(OPT_OUTS, alone.replace(f"shop{sign}", ""), delimiter=",", columns=chosen) == {
        2: {"email_address": "a@x.com"}
    }


@pytest.mark.parametrize("name", ["Unsubscribed", "opt_out", "Status", "Email Suppressions", "BLOCKLISTED", "Brand"])
def test_a_column_that_may_say_who_is_meant_is_not_left_out_in_silence(name: str) -> None:
    """An export holds those who said no, too; what leads to leaving the column out says that every row is meant."""
    text = f"email,{name},Unsubscribe Date,Subscriber Key\na@x.com,yes,,k1\nb@x.com,no,,k2\n"
    with pytest.raises(ConfigurationError, match="if every row is meant, whatever they hold"):
        rows(OPT_OUTS, text)
    (note,) = rows(OPT_OUTS, text, ignore_other_columns=True).notes
    assert f"; every row is taken as if there were no {name!r}: if that is wrong, filter the file first" in note


def test_what_is_left_out_of_json_is_told_too() -> None:
    """Of all records together, as each has names of its own."""
    text = '{"email": "a@x.com", "id": 7}\n{"email": "b@x.com", "unsubscribed": false}\n'
    (note,) = rows(OPT_OUTS, text, "in.jsonl", ignore_other_columns=True).notes
    assert note.startswith("Of the fields of in.jsonl 2 are left out; read are 'email' as email_address; every row is ")
    assert "as if there were no 'unsubscribed':" in note
    (note,) = rows(OPT_OUTS, '[{"mail": 1}]', "in.json", ignore_other_columns=True).notes
    assert note == "Of the fields of in.json 1 is left out; read is none"
    assert rows(CAMPAIGNS, "12\n13\n", "in.txt", ignore_other_columns=True).notes == ()


@pytest.mark.parametrize("said", ["|", "pipe"])
def test_what_separates_the_cells_may_be_said(said: str) -> None:
    """By its sign or its name; then a file is CSV, whatever it is called."""
    text = "email|brand_ids\na@x.com|XXG,XXH\n"
    found = read(OPT_OUTS, text, "in.txt", delimiter=said)
    assert found == {2: {"email_address": "a@x.com", "brand_ids": ("XXG", "XXH")}}


@pytest.mark.parametrize(
    ("text", "name", "said", "words"),
    [
        ("email,key\na@x.com,1\n", "in.csv", "ab", "'ab' is no delimiter"),
        ("email,key\na@x.com,1\n", "in.csv", '"', "is no delimiter"),
        ("sep=;\nemail;key\na@x.com;1\n", "in.csv", ",", "says sep=; in its first line, and ',' is given"),
        ('{"email": "a@x.com"}', "in.jsonl", ",", "is JSON by its name, which has no delimiter"),
        ("email,key\na@x.com,1\n", "in.csv", ";", "its header reads 'email,key', separated by ;"),
    ],
)
def test_a_delimiter_that_cannot_be_is_refused(text: str, name: str, said: str, words: str) -> None:
    """With what the file says itself."""
    with pytest.raises(ConfigurationError, match=words):
        rows(OPT_OUTS, text, name, delimiter=said)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("in.txt", "1\n2\n3"),
        ("in.csv", "id\n1\n2\n3"),
        ("in.json", "[1, 2, 3]"),
        ("in.jsonl", '"1"\n"2"\n"3"'),
        ("in.xlsx", workbook([["id"], [1], [2], [3]])),
    ],
    ids=["ids", "csv", "json", "jsonl", "xlsx"],
)
def test_only_the_first_rows_may_be_asked_for(name: str, data: str | bytes) -> None:
    """The length is that of what is read, and it is told that there are more; as many as there are is no limit."""
    file = rows(CAMPAIGNS, data, name, limit=2)
    assert [row.fields()["campaign_id"] for row in file] == ["1", "2"]
    assert (len(file), file.is_cut) == (2, False)
    assert file.notes == (f"Only the first 2 of 3 rows of {name} are read",)
    assert rows(CAMPAIGNS, data, name, limit=3).notes == ()
    with pytest.raises(ConfigurationError, match="limit must be a whole number from 1, not 0"):
        rows(CAMPAIGNS, data, name, limit=0)
