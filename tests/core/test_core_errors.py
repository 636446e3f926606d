"""The tree of errors: what each keeps, and what none shows."""

import copy
import json
import pickle
import time
import traceback
from typing import Any

import attrs
import pytest
from hypothesis import example, given, strategies as st

from omeda_async import ClientOptOut, errors
from omeda_async._masking import hide_secrets, mask_emails, masked_repr
from omeda_async._operation import Response
from omeda_async.errors import ApiError, BatchRejected, ConnectionFailed, Culprit, InvalidRecord, OmedaAsyncError
from omeda_async.providers.omeda._addresses import Addresses
from omeda_async.providers.omeda._operations import SUBMIT_OPT_OUTS
from omeda_async.providers.omeda._requests import SubmitOptOuts

TREE = {
    "OmedaAsyncError": "Exception",
    "ConfigurationError": "OmedaAsyncError",
    "ClosedError": "OmedaAsyncError",
    "InvalidRecord": "OmedaAsyncError",
    "LimitWaitExceeded": "OmedaAsyncError",
    "BatcherFull": "OmedaAsyncError",
    "ProviderUnavailable": "OmedaAsyncError",
    "JournalError": "OmedaAsyncError",
    "OutboxError": "OmedaAsyncError",
    "OutcomePending": "OmedaAsyncError",
    "TransportError": "OmedaAsyncError",
    "ConnectionFailed": "TransportError",
    "AnswerLost": "TransportError",
    "UnreadableAnswer": "OmedaAsyncError",
    "ApiError": "OmedaAsyncError",
    "BadRequest": "ApiError",
    "AuthenticationFailed": "ApiError",
    "NotFound": "ApiError",
    "MethodNotAllowed": "ApiError",
    "Conflict": "ApiError",
    "RateLimited": "ApiError",
    "ServerError": "ApiError",
    "AlreadyDone": "ApiError",
    "TooLate": "ApiError",
    "NotAuthorized": "ApiError",
    "SessionLost": "ApiError",
    "BatchRejected": "ApiError",
}
CLASSES = [getattr(errors, name) for name in TREE]
ADDRESS = "someone.private@omeda.com"


def _filled(kind: type[OmedaAsyncError]) -> OmedaAsyncError:
    """An error with a telling value in every field."""
    values: dict[str, Any] = {}
    for field in attrs.fields(kind):
        values[field.name] = {
            "provider": "omeda",
            "operation": "deployments.cancel",
            "attempts": 3,
            "sent": True,
            "status": 400,
            "retry_after": 2.5,
            "max_wait": 1.5,
            "next_slot_in": 2.0,
            "timed_out": True,
            "messages": (f"the address {ADDRESS} is wrong",),
            "fields": ("TrackId",),
            "method": "POST",
            "headers": {"Date": "Mon, 01 Jan 2029 10:00:00 GMT", "Via": "gateway"},
            "culprits": (Culprit("BrandOptOut", "XXG", ADDRESS, f"{ADDRESS} was not opted out"),),
        }.get(field.name, f"{field.name} of {ADDRESS}")
    return kind(values.pop("message"), **values)


def test_the_tree_is_the_documented_one() -> None:
    """Every error class has the parent that the documentation draws, and there are no others."""
    found = {
        name: value.__mro__[1].__name__
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, BaseException)
    }
    assert found == TREE


def _copied(error: OmedaAsyncError, way: str) -> Any:
    if way == "pickle":
        return pickle.loads(pickle.dumps(error))  # noqa: S301 our own pickle, made a moment ago
    return copy.copy(error) if way == "copy" else copy.deepcopy(error)


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("way", ["pickle", "copy", "deepcopy"])
def test_a_copy_keeps_every_field(kind: type[OmedaAsyncError], way: str) -> None:
    """Each class comes back from pickle and copy whole, with its class, text, arguments and fields."""
    error = _filled(kind)
    error.__cause__ = ValueError("not a part of it")
    again = _copied(error, way)
    assert type(again) is kind
    assert (str(again), repr(again), again.args) == (str(error), repr(error), error.args)
    for field in attrs.fields(kind):
        assert getattr(again, field.name) == getattr(error, field.name)
    assert again.__cause__ is None


@pytest.mark.parametrize("kind", CLASSES)
def test_no_text_of_an_error_shows_an_address(kind: type[OmedaAsyncError]) -> None:
    """str, repr, arguments, the traceback and every field but the provider's own words are masked."""
    error = _filled(kind)
    shown = [str(error), repr(error), repr(error.args), "".join(traceback.format_exception(error))]
    shown += [repr(one) for one in getattr(error, "culprits", ())]
    shown += [getattr(error, name) for name in ("message", "body", "reason") if hasattr(error, name)]
    assert all("someone.private" not in text for text in shown)
    assert "s***@omeda.com" in str(error)


def test_the_providers_own_words_stay_whole() -> None:
    """``messages`` and ``culprits`` keep the address, for the caller to act on."""
    error = _filled(BatchRejected)
    assert isinstance(error, BatchRejected)
    assert ADDRESS in error.messages[0]
    assert error.culprits[0].email_address == ADDRESS


def test_a_body_is_cut_at_200_characters_after_masking() -> None:
    """A long body keeps its first 200 characters, and an address at the cut is masked first."""
    error = ApiError("no", body="x" * 190 + " " + ADDRESS + "y" * 1000)
    assert len(error.body) == 200
    assert error.body.endswith("s***@omed")


def test_an_invalid_record_names_its_field() -> None:
    """The message is the field and the reason; without a field the reason alone."""
    assert str(InvalidRecord.of("track_id", "must not be empty")) == "track_id: must not be empty"
    assert str(InvalidRecord.of(None, f"{ADDRESS} twice")) == "s***@omeda.com twice"


def test_another_class_of_the_same_error_keeps_what_the_provider_said() -> None:
    """Once its meaning is known, an error changes its class and nothing else."""
    before = _filled(errors.BadRequest)
    assert isinstance(before, ApiError)
    after = before.as_kind(errors.TooLate)
    assert type(after) is errors.TooLate
    for field in attrs.fields(ApiError):
        assert getattr(after, field.name) == getattr(before, field.name)


def test_secrets_leave_every_text_but_not_our_own_names() -> None:
    """A secret is hidden in the message, the body, the messages and the culprits; the provider's name stays."""
    culprit = Culprit("BrandOptOut", "XXG", None, "AppId omeda is wrong")
    error = BatchRejected(
        "omeda is wrong", provider="omeda", body="omeda!", messages=("a", "omeda"), culprits=(culprit,)
    ).without(["omeda", ""])
    assert (error.message, error.args, error.body) == ("*** is wrong", ("*** is wrong",), "***!")
    assert error.messages == ("a", "***")
    assert error.culprits[0].message == "AppId *** is wrong"
    assert error.provider == "omeda"


def test_secrets_are_hidden_as_json_and_urls_write_them() -> None:
    """Escaped, quoted and overlapping secrets are hidden whole."""
    secrets = ["pass", 'pass"wörd/1']
    assert hide_secrets('got pass"wörd/1', secrets) == "got ***"
    assert hide_secrets(r'{"x": "pass\"w\u00f6rd/1"}', secrets) == '{"x": "***"}'
    assert hide_secrets("?p=pass%22w%C3%B6rd%2F1", secrets) == "?p=***"


def test_a_short_secret_is_hidden_where_it_stands_by_itself() -> None:
    """Within a word it is there by chance, and hiding it would make every text unreadable."""
    text = "AppId x is forbidden: (x), 'x', x-y, token=x; see example.com"
    shown = "AppId *** is forbidden: (***), '***', ***-y, token=***; see example.com"
    assert hide_secrets(text, ["x"]) == shown
    error = ConnectionFailed("no proxy at x", cause="proxy").without(["x", "proxy", "p"])
    assert (error.message, error.cause) == ("no *** at ***", "proxy")


@given(
    st.text(max_size=30).filter(lambda text: "@" not in text),
    st.from_regex(r"[a-z][a-z0-9._+-]{1,20}", fullmatch=True),
    st.text(max_size=30).filter(lambda text: "@" not in text),
)
def test_no_local_part_survives_masking(before: str, local: str, after: str) -> None:
    """Whatever stands around an address, its local part is not shown."""
    masked = mask_emails(f"{before} {local}@example.com {after}")
    assert f"{local}@" not in masked
    assert f"{local[0]}***@example.com" in masked


# Asterisks alone would be found in the mask itself.
_PIECES = st.text(
    st.sampled_from("ab.'\"(){}[]<>,;:\\!=|/é") | st.characters(exclude_characters="@*"), min_size=1, max_size=12
)


def _is_accepted(address: str) -> bool:
    try:
        SUBMIT_OPT_OUTS.build(SubmitOptOuts(client="foo", opt_outs=[ClientOptOut(address)], addresses=Addresses.ODD))
    except InvalidRecord:
        return False
    return True


@given(
    st.builds("{}@{}".format, _PIECES, _PIECES).filter(_is_accepted),
    st.sampled_from(["{}", "Email address {} was not opted out.", "'{}'", '"{}": no', "<{}>", "see ({})."]),
)
@example('"john.doe"@example.com', "{}")
@example("john.doe@[192.168.0.1]", "<{}>")
@example("o'reilly@example.com", "'{}'")
@example("john,doe@example.com", "{}")
@example("john.doe(work)@example.com", "({})")
@example("{john.doe}@example.com", "{}")
@example("(jo@example.com)", "{}")
@example("(j@example.com)", "{}")
def test_no_address_that_may_be_sent_shows_more_than_its_first_character(address: str, sentence: str) -> None:
    """Whatever the local part holds that can be accepted, and whatever it stands between."""
    local, _, domain = address.partition("@")
    masked = mask_emails(sentence.format(address))
    shown = masked.split(f"@{domain}")[0].split()[-1].removesuffix("***")
    assert f"{shown}***@{domain}" in masked
    assert len(local) == 1 or local not in shown
    assert len(shown) <= 2
    assert not shown[:-1].isalnum()
    assert mask_emails(masked) == masked


def test_who_connects_to_a_database_is_no_address() -> None:
    """A URL without its password can be copied from an error; an address beside it or with a password is masked."""
    url = "postgresql://ops@db.example.com:5432/jobs?run=spring"
    assert mask_emails(f"the journal {url} is in use") == f"the journal {url} is in use"
    assert "jo@" not in mask_emails(f"{url}%20jo@x.com")
    assert "hunter2" not in mask_emails("postgresql://ops:hunter2@db.example.com/jobs")


def test_addresses_without_a_space_between_them_are_masked_each() -> None:
    """What stands between two of them may be a part of either."""
    assert mask_emails("jo@x.com,jane@y.com;jim@z.com") == "j***@x***@y***@z.com"
    assert mask_emails('{"a":"jo@x.com"}') == '{***@x.com"}'


def test_an_address_is_masked_also_where_a_text_is_cut() -> None:
    """Of one that begins before the cut and ends behind it no more is seen than of any other."""
    local = "private.name-" * 15
    error = ApiError("no", body="x" * 150 + f" {local}@example.com")
    assert error.body == "x" * 150 + " p***@example.com"
    message = "x" * 980 + f" {local}@example.com is wrong"  # 1,000 characters of a message are shown
    told = SUBMIT_OPT_OUTS.parse(Response(400, {}, json.dumps({"Errors": [{"Error": message}]}).encode()))
    assert isinstance(told, ApiError)
    assert told.messages == (message,)
    assert len(str(told)) < 1020
    assert "private" not in str(told)


def test_an_address_in_a_list_of_texts_is_masked_as_in_one() -> None:
    """What a field shows of several texts is what it shows of each."""
    assert masked_repr("o'reilly@x.com") == "'o***@x.com'"
    assert masked_repr(("o'reilly@x.com is wrong", "<jo@x.com>")) == "('o***@x.com is wrong', '<j***@x.com>')"
    assert masked_repr({"key": "jo@x.com"}) == "{'key': 'j***@x.com'}"


AT_SIGNS = [
    "&#64;",
    "&#064;",
    "&#x40;",
    "&#X0040;",
    "&#64",
    "&commat;",
    "&amp;#64;",
    "%40",
    "%2540",
    "\uff20",
    "\ufe6b",
    r"\u0040",
]


@pytest.mark.parametrize("sign", AT_SIGNS)
@pytest.mark.parametrize("sentence", ["{}", "Address {} was not opted out", "<{}>", "https://x.test/?email={}&a=1"])
def test_an_address_whose_sign_is_written_otherwise_is_masked(sign: str, sentence: str) -> None:
    """Pages, URLs, JSON and other keyboards have their own ways; an error shows none of them whole."""
    text = sentence.format(f"jane.doe{sign}example.com")
    error = ApiError(text, body=text)
    for shown in (str(error), repr(error), error.body, masked_repr(text)):
        assert "doe" not in shown
        assert "example.com" in shown
    assert mask_emails(mask_emails(text)) == mask_emails(text)
    both = mask_emails(f"{text} jim.beam@example.org")
    assert "j***@example.org" in both


def test_a_text_without_an_address_stays_as_it_is() -> None:
    """Percentages, entities and signs that stand alone are no addresses."""
    for text in ("40% of 100", "a &amp; b", "%40", "@ 9", "＠", "100 %, &lt;b&gt;"):  # noqa: RUF001 as written
        assert mask_emails(text) == text


@pytest.mark.parametrize("character", ["\u202e", "\u2066", "\u200f", "\x1b", "\x07", "\x9b", "\x7f", "\r"])
def test_no_error_shows_what_controls_a_terminal(character: str) -> None:
    """The texts of a provider may hold anything; lines may end, and the provider's own words are kept."""
    text = f"no{character}yes\r\nand\tmore"
    error = ApiError(text, body=text, messages=(text,))
    assert str(error) == error.body == "no\N{REPLACEMENT CHARACTER}yes\r\nand\tmore"
    assert str(InvalidRecord.of("key", text)) == "key: no\N{REPLACEMENT CHARACTER}yes\r\nand\tmore"
    assert error.messages == (text,)


@pytest.mark.parametrize(
    "text",
    ["%25" * 100_000, "&amp;" * 100_000, "&#0" + "0" * 300_000, "a%40" * 100_000, "&" * 300_000, "＠" * 300_000],  # noqa: RUF001 as written
)
def test_masking_other_signs_in_a_hostile_text_is_quick(text: str) -> None:
    """Nothing is looked at more than a few times."""
    before = time.process_time()
    mask_emails(text)
    mask_emails(f"{text}@example.com")
    assert time.process_time() - before < 5


def test_masking_a_long_hostile_text_is_quick() -> None:
    """A text made to confuse a regular expression takes no longer than its length: else this took minutes."""
    before = time.process_time()
    masked = mask_emails("a" * 50_000 + "@" + "a@" * 5_000 + "(" * 50_000)
    assert time.process_time() - before < 5
    assert "***@" in masked
