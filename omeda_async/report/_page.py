"""The page: one HTML file with its style, its script and its data, which asks nobody for anything.

The data stand in it once, as JSON in which no tag can begin or end. The script puts texts of theirs into the page as
text, never as HTML; what else might run there, the page's own policy forbids.
"""

import json
import re
from base64 import b64encode
from collections.abc import Iterator
from datetime import datetime
from hashlib import sha256
from html import escape
from importlib.resources import files
from typing import Any, Final

import attrs

from omeda_async._masking import readable
from omeda_async.report._failures import whole
from omeda_async.report._story import Step, Story

LONGEST: Final = 4_000
"""Characters of a text that is about the run as a whole."""
_ESCAPES: Final = str.maketrans({sign: f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"})


def page_of(story: Story) -> Iterator[str]:
    """Return a page that tells a story, in pieces."""
    style, script = _part("page.css"), _part("page.js")
    before, after = _part("page.html").split("{data}")
    title = _html(story.title)
    yield _filled(before, policy=_policy(style, script), style=style, title=title, plain=_plain_sums(story))
    yield from (piece.translate(_ESCAPES) for piece in _data(story))
    yield after.replace("{script}", script)


def _filled(text: str, **parts: str) -> str:
    """Put each part in its place, at once: what stands in one is no place of another."""
    return re.sub(r"\{(policy|style|title|plain)\}", lambda place: parts[place[1]], text)


def _plain_sums(story: Story) -> str:
    """Return the sums and how to go on, as HTML for a browser that lets no script run."""
    sums = [(one.value.replace("_", " "), count) for one, count in story.counts.items() if count]
    sums += [("without an outcome", story.under_way)] if story.under_way else []
    records = sum(count for _, count in sums)
    lines = [f"{records:,} {'record' if records == 1 else 'records'}", *(f"{count:,} {name}" for name, count in sums)]
    lines.append(f"{story.requests:,} {'request' if story.requests == 1 else 'requests'}")
    return "".join(
        (
            f"<p>{_html(story.place)} · {_html(story.state)}</p>",
            f"<p>Ended early: {_html(story.cause)}</p>" if story.cause else "",
            f"<ul>{''.join(f'<li>{line}</li>' for line in lines)}</ul>",
            *(f"<p>{_html(step.why)}</p><pre>{escape(whole(step.line))}</pre>" for step in story.steps),
            "<p>The rest of this page is drawn from the data it holds: its script has to be allowed to run.</p>",
        )
    )


def _html(text: str) -> str:
    return escape(_text(text))


def _text(text: str) -> str:
    """Return a text as a page may hold it: masked, and not without end."""
    text = readable(text)
    return whole(text if len(text) <= LONGEST else f"{text[:LONGEST]}…")


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
    if isinstance(value, str):
        return whole(value) if field is attrs.fields(Step).line else _text(value)  # its words were masked one by one
    return value
