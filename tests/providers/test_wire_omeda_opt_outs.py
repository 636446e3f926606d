"""What Omeda's opt-outs are checked for, how they go out, and whom a refusal names."""

import pickle
from typing import Any

import orjson
import pytest
from hypothesis import given, strategies as st

from omeda_async._operation import Response
from omeda_async.errors import BatchRejected, Culprit, InvalidRecord
from omeda_async.providers.omeda import _operations as wire
from omeda_async.providers.omeda._addresses import Addresses
from omeda_async.providers.omeda._converter import (
    Entry,
    entry_of,
    opt_out_from,
    record_of,
)
from omeda_async.providers.omeda._culprits import blame, ids_of, merge, without_ids
from omeda_async.providers.omeda._requests import SubmitOptOuts
from omeda_async.providers.omeda.models import (
    BrandOptOut,
    ClientOptOut,
    DeploymentTypeOptOut,
    OptOut,
    OptOutReceipt,
)

CLIENT = ClientOptOut("test4@omeda.com")
BRAND = BrandOptOut("test@omeda.com", ["XXG", "XXH"], "Company STU")
TYPES = DeploymentTypeOptOut("test66@omeda.com", [4194, 4804], promo_code="P")


def _body(*opt_outs: OptOut | Entry) -> Any:
    request = wire.SUBMIT_OPT_OUTS.build(SubmitOptOuts(client="foo", opt_outs=opt_outs))
    return orjson.loads(request.body or b"")


def test_an_entry_holds_what_is_set_and_not_the_callers_key() -> None:
    """Unset options and the caller's key stay away."""
    record = ClientOptOut("a@b.com", key="mine")
    assert entry_of(record) == ("ClientOptOut", b'{"EmailAddress":"a@b.com"}', "a@b.com")
    assert record_of(entry_of(record)) == record
    assert orjson.loads(entry_of(TYPES)[1]) == {
        "EmailAddress": "test66@omeda.com",
        "DeploymentTypeId": [4194, 4804],
        "PromoCode": "P",
    }


def test_entries_and_opt_outs_make_the_same_request() -> None:
    """What was serialised before is not serialised again, and the order within a level is kept."""
    second = ClientOptOut("a@b.com")
    assert _body(CLIENT, entry_of(BRAND), second, TYPES) == _body(
        entry_of(CLIENT), BRAND, entry_of(second), entry_of(TYPES)
    )
    assert [one["EmailAddress"] for one in _body(CLIENT, BRAND, second)["ClientOptOut"]] == [
        "test4@omeda.com",
        "a@b.com",
    ]


def test_a_level_without_opt_outs_is_left_out() -> None:
    """Any of the three levels may be missing."""
    assert list(_body(BRAND)) == ["BrandOptOut"]


def test_the_client_is_one_segment_of_the_path() -> None:
    """The queue takes the client's name, escaped, and ends in the literal star."""
    request = wire.SUBMIT_OPT_OUTS.build(SubmitOptOuts(client="a/b c", opt_outs=[CLIENT]))
    assert request.path == "/webservices/rest/client/a%2Fb%20c/optoutfilterqueue/*"
    assert wire.SUBMIT_OPT_OUTS.settled is not None
    params = SubmitOptOuts(client="a", opt_outs=[CLIENT])
    assert wire.SUBMIT_OPT_OUTS.settled(params, None) == OptOutReceipt(settled=True)


def test_a_request_of_nothing_is_refused() -> None:
    """Nothing to submit is a mistake that is told."""
    with pytest.raises(InvalidRecord, match="at least one"):
        _body()


@pytest.mark.parametrize(
    ("record", "field"),
    [
        (ClientOptOut(""), "email_address"),
        (ClientOptOut("a"), "email_address"),
        (ClientOptOut("@b"), "email_address"),
        (ClientOptOut("a@"), "email_address"),
        (ClientOptOut("a@b@c"), "email_address"),
        (ClientOptOut("a b@c.com"), "email_address"),
        (ClientOptOut("a@b.com\n"), "email_address"),
        (ClientOptOut("a\x00@b"), "email_address"),
        (ClientOptOut("a\ud800@b"), "email_address"),
        (ClientOptOut("a@" + "b" * 254), "email_address"),
        (ClientOptOut(None), "email_address"),  # type: ignore[arg-type] # what a caller may do
        (ClientOptOut(5), "email_address"),  # type: ignore[arg-type] # what a caller may do
        (ClientOptOut("a@b.com", 5), "source"),  # type: ignore[arg-type] # what a caller may do
        (ClientOptOut("a@b.com", key=5.5), "key"),  # type: ignore[arg-type] # what a caller may do
        (ClientOptOut("a@b.com", key="\ud800"), "key"),
        (BrandOptOut("a@b.com", "XXG"), "brand_ids"),
        (BrandOptOut("a@b.com", None), "brand_ids"),
        (BrandOptOut("a@b.com", []), "brand_ids"),
        (BrandOptOut("a@b.com", ["XXG", ""]), "brand_ids"),
        (BrandOptOut("a@b.com", [5]), "brand_ids"),
        (BrandOptOut("a@b.com", [["X"]]), "brand_ids"),
        (DeploymentTypeOptOut("a@b.com", []), "deployment_type_ids"),
        (DeploymentTypeOptOut("a@b.com", 4194), "deployment_type_ids"),
        (DeploymentTypeOptOut("a@b.com", ["4194"]), "deployment_type_ids"),
        (DeploymentTypeOptOut("a@b.com", [True]), "deployment_type_ids"),
        (DeploymentTypeOptOut("a@b.com", [4194.0]), "deployment_type_ids"),
        (DeploymentTypeOptOut("a@b.com", [2**63]), "deployment_type_ids"),
        (DeploymentTypeOptOut("a@b.com", [1], promo_code=5), "promo_code"),  # type: ignore[arg-type] # what a caller may do
        ("a@b.com", None),
    ],
)
def test_an_opt_out_that_cannot_be_sent_names_its_field(record: OptOut, field: str | None) -> None:
    """Making it never fails; serialising it does, with the field and the reason, and no address in it."""
    with pytest.raises(InvalidRecord) as caught:
        entry_of(record)
    assert caught.value.field == field
    assert caught.value.reason
    assert pickle.loads(pickle.dumps(caught.value)).reason == caught.value.reason  # noqa: S301 our own pickle


@given(st.text(max_size=12) | st.from_regex(r"[^\s@]{1,5}@[^\s@]{1,5}", fullmatch=True), st.sampled_from(Addresses))
def test_an_address_either_goes_out_whole_or_is_refused(address: str, taken: Addresses) -> None:
    """Whatever the text, it is on the wire as it is, or it is refused: never changed."""
    try:
        entry = entry_of(ClientOptOut(address), taken)
    except InvalidRecord as problem:
        entry, field = None, problem.field
    else:
        field = None
    if entry is None:
        assert field == "email_address"
    else:
        assert orjson.loads(entry[1]) == {"EmailAddress": address}
        assert address.count("@") == 1


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        (BRAND, BRAND),
        ({"email_address": "a@b.com"}, ClientOptOut("a@b.com")),
        ({"EmailAddress": "a@b.com", "Source": "s"}, ClientOptOut("a@b.com", "s")),
        ({"EmailAddress": "a@b.com", "BrandId": ["X"]}, BrandOptOut("a@b.com", ["X"])),
        ({"email_address": "a@b.com", "brand_ids": ("X",), "deployment_type_ids": None}, BrandOptOut("a@b.com", ["X"])),
        ({"email_address": "a@b.com", "brand_ids": None, "deployment_type_ids": None}, ClientOptOut("a@b.com")),
        (
            {"email": "a@b.com", "DeploymentTypeId": [1], "PromoCode": "P"},
            DeploymentTypeOptOut("a@b.com", [1], None, "P"),
        ),
        ({"email": "a@b.com", "brand_ids": None, "level": "ClientOptOut"}, ClientOptOut("a@b.com")),
        ({"email": "a@b.com", "brand_ids": ["X"], "level": "brand"}, BrandOptOut("a@b.com", ["X"])),
        (
            {"email": "a@b.com", "deployment_type_ids": [1], "level": "deployment_type"},
            DeploymentTypeOptOut("a@b.com", [1]),
        ),
    ],
)
def test_an_opt_out_is_a_model_or_a_mapping(given_: object, expected: OptOut) -> None:
    """Python and wire names mean the same; the level follows from the ids."""
    assert opt_out_from(given_) == expected


@pytest.mark.parametrize(
    ("given_", "field"),
    [
        ("a@b.com", None),
        ({}, "email_address"),
        ({"email": "a@b.com", "brand_ids": None}, "brand_ids"),
        ({"email": "a@b.com", "brand_ids": "X"}, "brand_ids"),
        ({"email": "a@b.com", "brand_ids": ["X"], "deployment_type_ids": [1]}, "deployment_type_ids"),
        ({"email": "a@b.com", "deployment_type_ids": ["1"]}, "deployment_type_ids"),
        ({"email": "a@b.com", "deployment_type_ids": [True]}, "deployment_type_ids"),
        ({"email": "a@b.com", "brand": "X"}, "brand"),
        ({"email": "a@b.com", "brand_ids": ["X"], "level": "client"}, "brand_ids"),
        ({"email": "a@b.com", "level": "everything"}, "level"),
        ({"email": "a@b.com", "level": 5}, "level"),
        ({"email": "a@b.com", "EmailAddress": "a@b.com"}, "email_address"),
        ({"email": "a@b.com", "promo_code": "P"}, "promo_code"),
        ({"email": "a@b.com", "promo_code": "P", "level": "client"}, "promo_code"),
        ({"email": None}, "email_address"),
        ({"email": "a@b.com", "john@doe.com": "x"}, "j***@doe.com"),
    ],
)
def test_a_mapping_that_is_no_opt_out_names_its_field(given_: object, field: str | None) -> None:
    """Unknown names, two levels, one empty field for ids, wrong types: nothing is guessed."""
    with pytest.raises(InvalidRecord) as caught:
        opt_out_from(given_)
    assert caught.value.field == field


@pytest.mark.parametrize("names", [("email_address", "key"), ("EmailAddress", "key")])
def test_a_key_is_a_text_or_a_number_whichever_names_a_mapping_has(names: tuple[str, str]) -> None:
    """A database's number will do; what is neither is refused on the quick way, by the fields' own names, as else."""
    assert [opt_out_from(dict(zip(names, ("a@b.com", key), strict=True))).key for key in (5, "k")] == [5, "k"]
    for key in (5.5, True, ["k"]):
        with pytest.raises(InvalidRecord) as caught:
            entry_of(opt_out_from(dict(zip(names, ("a@b.com", key), strict=True))))
        assert caught.value.field == "key"
        assert caught.value.reason == f"must be a string or an integer, not {type(key).__name__}"


def test_an_unknown_name_is_answered_with_all_those_there_are() -> None:
    """The level of an opt-out follows from its ids: whoever mistakes the name of one is told the right one."""
    with pytest.raises(InvalidRecord, match="known are brand_ids, deployment_type_ids, email_address, key, level"):
        opt_out_from({"email": "a@b.com", "brandids": ["XXG"]})


def test_ids_that_come_one_by_one_are_all_looked_at() -> None:
    """A wrong id in an iterator refuses the record; the ids after it do not make one of their own."""
    with pytest.raises(InvalidRecord) as caught:
        opt_out_from({"email": "a@b.com", "brand_ids": iter(["X", 5, "Y"])})
    assert (caught.value.field, caught.value.reason[:24]) == ("brand_ids", "must be a string, not in")
    good = opt_out_from({"email": "a@b.com", "brand_ids": (one for one in ("X", "Y"))})
    assert good == BrandOptOut("a@b.com", ["X", "Y"])


def test_an_invalid_mapping_keeps_its_cause() -> None:
    """What the converter found is chained."""
    with pytest.raises(InvalidRecord) as caught:
        opt_out_from({"email": 5})
    assert caught.value.__cause__ is not None


def _culprits(*messages: str) -> tuple[Culprit, ...]:
    body = orjson.dumps({"Errors": [{"Error": message} for message in messages]})
    result = wire.SUBMIT_OPT_OUTS.parse(Response(400, {}, body))
    assert isinstance(result, BatchRejected)
    return result.culprits


DOCUMENTED = "BrandOptOut submission (XXG): the BrandId is not authorized for OptOuts for the AppId submitted. Email "


@pytest.mark.parametrize(
    ("message", "level", "refused_id", "email"),
    [
        (DOCUMENTED + "address test@omeda.com was not opted out.", "BrandOptOut", "XXG", "test@omeda.com"),
        (
            DOCUMENTED.replace("Brand", "DeploymentType").replace("XXG", "4194") + "address test66@omeda.com was not.",
            "DeploymentTypeOptOut",
            "4194",
            "test66@omeda.com",
        ),
        ("deployment type opt-out ( 4194 ) refused for 'o'brien@x.y'.", "DeploymentTypeOptOut", "4194", "o'brien@x.y"),
        ("ClientOptOut submission: <a@b.c> is invalid (see the guide).", "ClientOptOut", None, "a@b.c"),
        ("The BrandId (XXG) is unknown.", "BrandOptOut", "XXG", None),
        ("Email address a@b.c is invalid.", "", None, "a@b.c"),
        ("BrandOptOut (a@b.c) refused", "BrandOptOut", None, "a@b.c"),
    ],
)
def test_a_culprit_is_read_whatever_the_wording(
    message: str, level: str, refused_id: str | None, email: str | None
) -> None:
    """A level, an id in parentheses and an address are found in the documented text and in variants of it."""
    assert _culprits(message) == (Culprit(level=level, id=refused_id, email_address=email, message=message),)


@pytest.mark.parametrize(
    "message",
    [
        "There were errors with your submission.  None of the OptOuts submitted in your request were created.",
        "There are currently no valid brands associated for the client submitted.",
        "'EmailAddress' is a required field.",
        "Something (new).",
        "",
    ],
)
def test_a_sentence_that_names_nobody_is_no_culprit(message: str) -> None:
    """The summary and general causes blame no record."""
    assert _culprits(message) == ()


def test_a_culprit_named_twice_is_one() -> None:
    """The same words twice are one culprit, in the order of the first."""
    texts = [DOCUMENTED + "address a@b.c was not opted out.", "x@y.z is invalid", "x@y.z is invalid"]
    assert [one.email_address for one in _culprits(*texts)] == ["a@b.c", "x@y.z"]


def _culprit(level: str, refused_id: str | None, email: str | None) -> Culprit:
    return Culprit(level=level, id=refused_id, email_address=email, message="m")


@pytest.mark.parametrize(
    ("culprit", "positions"),
    [
        (_culprit("BrandOptOut", "XXG", "test@omeda.com"), [1]),
        (_culprit("BrandOptOut", "XXG", "TEST@omeda.com"), [1]),
        (_culprit("BrandOptOut", "XXZ", "test@omeda.com"), []),
        (_culprit("BrandOptOut", None, "test@omeda.com"), [1, 3]),
        (_culprit("BrandOptOut", "XXH", None), [1, 3]),
        (_culprit("BrandOptOut", "xxg", "test@omeda.com"), [1]),
        (_culprit("BrandOptOut", "xxh", None), [1, 3]),
        (_culprit("BrandOptOut", "Xxh", "test@omeda.com"), [1, 3]),
        (_culprit("ClientOptOut", "xxg", "test@omeda.com"), []),
        (_culprit("DeploymentTypeOptOut", "4194", "test66@omeda.com"), [2]),
        (_culprit("ClientOptOut", None, "test@omeda.com"), [4]),
        (_culprit("", None, "test@omeda.com"), [1, 3, 4]),
        (_culprit("BrandOptOut", "XXG", "nobody@omeda.com"), []),
    ],
)
def test_a_culprit_blames_the_records_it_names(culprit: Culprit, positions: list[int]) -> None:
    """Level, address and id have to fit, as far as they are named."""
    records: list[OptOut] = [
        CLIENT,
        BRAND,
        TYPES,
        BrandOptOut("Test@omeda.com", ["XXH"]),
        ClientOptOut("test@omeda.com"),
    ]
    assert blame(records, [culprit]) == dict.fromkeys(positions, (culprit,))


@pytest.mark.parametrize(("refused", "positions"), [("XXG", [0]), ("xxg", [1]), ("Xxg", [0, 1])])
def test_an_id_in_another_case_is_blamed_only_where_nobody_has_it_as_it_is(refused: str, positions: list[int]) -> None:
    """Ids that differ in their case may be two: the one that is named is to blame, as long as it is there."""
    records: list[OptOut] = [BrandOptOut("a@b.com", ["XXG"]), BrandOptOut("a@b.com", ["xxg"]), ClientOptOut("a@b.com")]
    culprit = _culprit("BrandOptOut", refused, None)
    assert blame(records, [culprit]) == dict.fromkeys(positions, (culprit,))


@pytest.mark.parametrize(
    ("record", "refused", "left"),
    [
        (BRAND, ["XXG"], BrandOptOut("test@omeda.com", ["XXH"], "Company STU")),
        (BRAND, ["xxg"], BrandOptOut("test@omeda.com", ["XXH"], "Company STU")),
        (BRAND, ["xxg", "Xxh"], None),
        (BrandOptOut("a@b.com", ["xxg", "XXG", "XXH"]), ["XXG"], BrandOptOut("a@b.com", ["xxg", "XXH"])),
        (BrandOptOut("a@b.com", ["xxg", "XXG", "XXH"]), ["Xxg"], BrandOptOut("a@b.com", ["XXH"])),
        (BRAND, ["XXG", "XXH"], None),
        (BRAND, [None], None),
        (BRAND, [], BRAND),
        (TYPES, ["4194"], DeploymentTypeOptOut("test66@omeda.com", [4804], promo_code="P")),
        (TYPES, ["4194", "4804"], None),
        (CLIENT, [None], None),
    ],
)
def test_a_record_keeps_its_good_ids(record: OptOut, refused: list[str | None], left: OptOut | None) -> None:
    """Only the refused ids go, as they are or else in another case; without any left there is no record."""
    assert without_ids(record, refused) == left


def test_records_that_differ_only_in_their_ids_become_one_entry() -> None:
    """Same address, level, source and promo code: one list of ids, each once, in order."""
    other = BrandOptOut("test@omeda.com", ["XXH", "XXL"], "Company STU", key="k")
    elsewhere = BrandOptOut("test@omeda.com", ["XXL"])
    merged = merge([BRAND, CLIENT, other, elsewhere, CLIENT, TYPES])
    assert merged == [
        BrandOptOut("test@omeda.com", ["XXG", "XXH", "XXL"], "Company STU"),
        CLIENT,
        elsewhere,
        TYPES,
    ]


_ADDRESSES = st.sampled_from(["a@b.com", "c@d.com"])
_SOURCES = st.sampled_from([None, "s"])
_RECORDS = st.one_of(
    st.builds(ClientOptOut, _ADDRESSES, _SOURCES),
    st.builds(BrandOptOut, _ADDRESSES, st.lists(st.sampled_from("XYZ"), min_size=1, max_size=3), _SOURCES),
    st.builds(DeploymentTypeOptOut, _ADDRESSES, st.lists(st.integers(1, 3), min_size=1, max_size=3), _SOURCES),
)


def _pairs(records: list[OptOut]) -> set[tuple[type[OptOut], str, str | None, str | int | None]]:
    return {
        (type(record), record.email_address, record.source, one)
        for record in records
        for one in ids_of(record) or (None,)
    }


@given(st.lists(_RECORDS, max_size=8))
def test_merging_neither_adds_nor_loses_an_opt_out(records: list[OptOut]) -> None:
    """The same pairs of record and id go out, and no two entries are left that could be one."""
    merged = merge(records)
    assert _pairs(merged) == _pairs(records)
    heads = [(type(one), one.email_address, one.source) for one in merged]
    assert len(heads) == len(set(heads))


def test_no_opt_out_shows_an_address() -> None:
    """Addresses are masked in every repr, also in the caller's key and the serialised entry."""
    record = ClientOptOut("john@doe.com", "from john@doe.com", key="john@doe.com")
    shown = repr(record) + repr(SubmitOptOuts(client="c", opt_outs=[record]))
    assert "j***@doe.com" in shown
    assert "john@doe.com" not in shown
