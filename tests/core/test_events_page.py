"""The pages on events: every event, every field and every metric stands on them."""

import re
from pathlib import Path

import attrs
import pytest

from omeda_async import events, otel
from omeda_async.events import Event

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "events.md").read_text("utf-8")
METRICS = (DOCS / "howto" / "opentelemetry.md").read_text("utf-8")
KINDS = [
    kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, Event) and kind is not Event
]
COMMON = [field.name for field in attrs.fields(Event)]


def _row(name: str) -> str:
    found = re.findall(rf"^\| `{name}` \|.*$", PAGE, re.MULTILINE)
    assert len(found) == 1, f"docs/events.md has {len(found)} rows for {name}"
    return str(found[0])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_event_stands_on_the_page_with_its_fields(kind: type[Event]) -> None:
    """In a row of its own."""
    row = _row(kind.__name__)
    own = [field.name for field in attrs.fields(kind) if field.name not in COMMON]
    assert [name for name in own if f"`{name}`" not in row] == []


@pytest.mark.parametrize("name", COMMON)
def test_every_field_that_all_have_stands_there_once(name: str) -> None:
    """In the table before."""
    assert _row(name)


def test_every_metric_stands_there() -> None:
    """By the name it is made under."""
    source = Path(otel.__file__).read_text("utf-8")
    names = re.findall(r'\b(?:create_\w+|count|timed)\(\s*"([\w.]+)"', source)
    assert len(names) == 10
    assert [name for name in names if f"| `{name}` |" not in METRICS] == []
