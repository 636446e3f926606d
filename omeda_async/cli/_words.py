"""What errors advise who writes Python, in the words of who gives a command; and statuses in words."""

import re
from functools import lru_cache
from typing import Final

import omeda_async
from omeda_async.outcomes import OutcomeStatus

_STOPS: Final = {"the run was stopped": "by a signal, or by its program"}
_PHRASES: Final = (
    ("give proxy='http://host:port' (--proxy)", "give --proxy http://host:port"),
    ("check proxy= (--proxy) or HTTPS_PROXY, or http_session's own", "check --proxy or HTTPS_PROXY"),
    ("in proxy= (--proxy), HTTPS_PROXY or http_session,", "in --proxy or HTTPS_PROXY,"),
    ("give ssl=ssl.create_default_context(cafile=...) (--ca-file)", "give --ca-file FILE"),
    ("give http_session= with a connector of the package aiohttp-socks, or name", "name"),
    ("give user_id=, or set it in OmedaSettings", "give --user-id, or set OMEDA_USER_ID"),
    ("give reopen=True to", "give --reopen to"),
    ("allow_odd_addresses=True sends", "--allow-odd-addresses sends"),
    ("(--encoding, encoding= in Python)", "(--encoding)"),
)
_BESIDE: Final = re.compile(r" \((?:[a-z_]+=(?:True in Python)?|columns=\{[^}]*\})\)")
"""The Python behind an option that is named already."""
_SETTING: Final = re.compile(r"\b[A-Z]\w+Settings\.\w+ \(([A-Z_]+)\)")
_OPTION: Final = re.compile(
    r"(?:allow_odd_addresses|concurrency|deadline|delimiter|encoding|ignore|journal|journal_pii|limit|max_entries|proxy"
    r"|share_limits|sheet)(?=: | must | begins | names )"
)
"""An option that an error begins with."""


@lru_cache(maxsize=1024)
def in_command(text: str, provider: str | None = None) -> str:
    """Return an error's message with what a command calls its options and settings.

    Args:
        text: The message.
        provider: The provider whose base URL it may speak of.
    """
    for python, command in _PHRASES:
        text = text.replace(python, command)
    text = _SETTING.sub(r"\1", _BESIDE.sub("", text))
    if option := _OPTION.match(text):
        text = f"--{option[0].replace('_', '-')}{text[option.end() :]}"
    return text.replace("base_url", f"{provider.upper()}_BASE_URL") if provider else text


def words(status: OutcomeStatus) -> str:
    """Return a status as people say it."""
    return status.replace("_", " ")


def cause_in_words(cause: str) -> str:
    """Return why a run ended without the name of an error of ours: that is for programs."""
    name, _, text = cause.partition(": ")
    ours = text and isinstance(getattr(omeda_async, name, None), type)
    return _STOPS.get(text, text) if ours else cause
