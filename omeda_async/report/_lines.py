"""Lines for a shell, as a page shows them: without logins, passwords and e-mail addresses."""

import re
import shlex
from collections.abc import Sequence
from typing import Final

from omeda_async._masking import mask_emails
from omeda_async.report._story import Step

HIDDEN: Final = "HIDDEN"
_LOGIN: Final = re.compile(r"(?<=://)\S*@")
_SECRET: Final = re.compile(r"(?i)([?&;](?:ssl)?(?:password|passwd|secret|token|key)=)[^&;\s]*")
_AFTER_LOGIN: Final = re.compile(rf"(.*://{HIDDEN}@)(.*)", re.DOTALL)
_PART: Final = re.compile(r"[^?&;=]+")


def step(why: str, words: Sequence[str], note: str = "") -> Step:
    """Return a step whose line can be shown, and says so where something is hidden in it.

    Args:
        why: What it does.
        words: Those of the line, after the name of the program.
        note: What has to be put in before it can be used.
    """
    safe = [without_secrets(word) for word in words]
    if safe != [*words]:
        note = f"{note} Some of it is not shown ({HIDDEN} or ***): put in what was there.".lstrip()
    return Step(why=why, line=shlex.join(["omeda-async", *safe]), note=note)


def without_secrets(word: str) -> str:
    """Return a word of a command line without logins, passwords and addresses."""
    hidden = _SECRET.sub(rf"\1{HIDDEN}", _LOGIN.sub(f"{HIDDEN}@", word))
    login = _AFTER_LOGIN.fullmatch(hidden)
    if login is not None:
        masked = login[1] + _masked(login[2])
    else:
        masked = _masked(hidden) if "://" in hidden else mask_emails(hidden)
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in masked)


def _masked(url: str) -> str:
    """Mask each part of a URL by itself: what stands before it belongs to no address."""
    return _PART.sub(lambda part: mask_emails(part[0]), url)
