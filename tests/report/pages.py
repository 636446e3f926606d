"""Pages to look at, and what is in them."""

import json
import re
from pathlib import Path
from typing import Any

from omeda_async.outcomes import OutcomeStatus
from omeda_async.report._failures import Failures
from omeda_async.report._page import page_of
from omeda_async.report._story import Story

DATA = re.compile(r'<script type="application/json" id="data">(.*?)</script>', re.DOTALL)


def data_in(page: str) -> dict[str, Any]:
    """Return the data of a page, read as a browser reads it: up to the first tag that ends a script."""
    found = DATA.search(page)
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data


def data_of(path: Path) -> dict[str, Any]:
    """Return the data of a page in a file."""
    return data_in(path.read_text("utf-8"))


def story(failures: Failures, **more: Any) -> Story:
    """Return a story with these records that are not done."""
    told: dict[str, Any] = {
        "title": "Cancel campaigns at Ocamba",
        "place": "example.com",
        "source": "run",
        "state": "stopped",
        "counts": {OutcomeStatus.DONE: 7, OutcomeStatus.REJECTED: failures.total},
        "requests": 8,
        "version": "1.2.3",
    }
    return Story(**(told | more), failures=failures)


def page(failures: Failures, **more: Any) -> str:
    """Return a page with these records that are not done."""
    return "".join(page_of(story(failures, **more)))
