"""The page: one HTML file with its style, its script and its data, which asks nobody for anything.

The data stand in it once, as JSON in which no tag can begin or end. The script puts texts of theirs into the page as
text, never as HTML; what else might run there, the page's own policy forbids.
"""

import json
from base64 import b64encode
from collections.abc import Iterator
from datetime import datetime
from hashlib import sha256
from html import escape
from importlib.resources import files
from typing import Any, Final

import attrs

from omeda_async._masking import readable
from omeda_async.report._story import Step, Story

_ESCAPES: Final = str.maketrans({sign: f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"})


def page_of(story: Story) -> Iterator[str]:
    """Return a page that tells a story, in pieces."""
    style, script = _part("page.css"), _part("page.js")
    before, after = _part("page.html").split("{data}")
    title = escape(readable(story.title))
    yield before.replace("{policy}", _policy(style, script)).replace("{style}", style).replace("{title}", title)
    yield from (piece.translate(_ESCAPES) for piece in _data(story))
    yield after.replace("{script}", script)


def _part(name: str) -> str:
    return files("omeda_async.report").joinpath(name).read_text("utf-8")


def _policy(style: str, script: str) -> str:
    """Return what the page may do: use the style and the script that stand in it, and nothing else."""
    allowed = f"style-src '{_hash(style)}'; script-src '{_hash(script)}'"
    return f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'"


def _hash(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"


def _data(story: Story) -> Iterator[str]:
    """Return the data as JSON, in pieces: the records that are not done are many."""
    told = attrs.asdict(story, filter=lambda field, _: field.name != "failures", value_serializer=_plain)
    found = story.failures
    failures = {"word": found.word, "total": found.total, "causes": found.causes()}
    failures["counts"] = [found.counts[number] for number in range(len(found.causes()))]
    whole = json.dumps({**told, "failures": failures}, ensure_ascii=False)
    yield whole.removesuffix("}}")
    yield ', "rows": '
    yield from found.rows()
    yield "}}"


def _plain(_: Any, field: Any, value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str) and field is not attrs.fields(Step).line:  # whose words were masked one by one
        return readable(value)
    return value
