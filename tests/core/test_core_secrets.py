"""Secrets of settings show themselves to nobody who does not ask by name."""

import copy
import json
import pickle
import pprint
from typing import Any

import attrs
import cattrs
import orjson
import pytest

from omeda_async import BasicAuth, BearerAuth, JourneyManagerSettings, OcambaSettings, OmedaSettings, SessionManager
from omeda_async._environment import settings_from_env
from omeda_async.settings import Secret

WORD = "s3cr3t-w0rd"
ALL: list[Any] = [
    OmedaSettings(app_id=WORD, brand="FOO", input_id=WORD),
    OcambaSettings(token=WORD),
    JourneyManagerSettings(base_url="https://j.example.com", auth=BasicAuth("u", WORD), headers={"X-CSRF": WORD}),
    JourneyManagerSettings(base_url="https://j.example.com", auth=BearerAuth(WORD)),
    settings_from_env({"OMEDA_APP_ID": WORD, "OMEDA_BRAND": "FOO", "OCAMBA_TOKEN": WORD}),
]


@pytest.mark.parametrize("settings", ALL, ids=lambda one: type(one).__name__)
def test_settings_as_data_show_no_secret(settings: Any) -> None:
    """As a dictionary, a tuple, pretty-printed, or as JSON that takes what it does not know as text."""
    shown = [
        repr(attrs.asdict(settings)),
        str(attrs.asdict(settings)),
        repr(attrs.astuple(settings)),
        repr(attrs.asdict(settings, recurse=False)),
        repr(cattrs.unstructure(settings)),
        pprint.pformat(attrs.asdict(settings)),
        json.dumps(attrs.asdict(settings), default=str),
        orjson.dumps(attrs.asdict(settings), default=str).decode(),
        repr({name: getattr(settings, name) for name in attrs.fields_dict(type(settings))}),
    ]
    assert [text for text in shown if WORD in text] == []


def test_a_secret_is_hidden_wherever_it_is_shown() -> None:
    """And gives its text on request alone."""
    secret = Secret(WORD)
    shown = [repr(secret), str(secret), f"{secret}", f"{secret!r}", f"{secret:>20}", "%s" % secret, "{}".format(secret)]  # noqa: UP031, UP032 all ways there are
    assert all(WORD not in text and "***" in text for text in shown)
    assert secret.reveal() == WORD
    for dump in (json.dumps, orjson.dumps, pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError) as caught:
            dump(secret)
        assert WORD not in str(caught.value)
    assert not hasattr(secret, "__dict__")


def test_a_secret_equals_its_text() -> None:
    """As a text would: it can be compared, looked up, and told from another."""
    secret = Secret(WORD)
    assert secret == Secret(WORD) == WORD
    assert secret == WORD
    assert secret != Secret("other")
    assert secret != "other"
    assert secret != 5
    assert {secret: 1}[WORD] == 1  # type: ignore[index]  # the point
    assert Secret("wörd\ud800") == "wörd\ud800"


def test_settings_take_plain_texts_and_secrets_alike() -> None:
    """What one has, the other can be made of; equal settings are equal."""
    given = OmedaSettings(app_id=WORD, brand="FOO")
    assert given == OmedaSettings(app_id=given.app_id, brand="FOO")
    assert hash(given) == hash(OmedaSettings(app_id=WORD, brand="FOO"))
    assert given != OmedaSettings(app_id="other", brand="FOO")
    assert attrs.evolve(given, brand="BAR").app_id.reveal() == WORD
    assert OcambaSettings(token=Secret(WORD)) == OcambaSettings(token=WORD)
    assert BasicAuth("u", Secret(WORD)).header == BasicAuth("u", WORD).header
    JourneyManagerSettings(base_url="https://j.example.com", auth=BearerAuth("t"), headers={"X": Secret(WORD)})


def test_a_callable_token_stays_what_it_is() -> None:
    """It is asked when a token is needed."""

    def token() -> str:
        return WORD

    assert OcambaSettings(token=token).token is token
    assert BearerAuth(token).token is token


async def test_a_manager_is_made_of_hidden_secrets() -> None:
    """What is sent is the text itself, which the wire tests see; here nothing of it is shown."""
    async with SessionManager(omeda=ALL[0], ocamba=ALL[1], journey_manager=ALL[2]) as manager:
        assert WORD not in repr(manager)
