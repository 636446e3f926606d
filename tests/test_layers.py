"""Who may import whom: down only, and each outside library in its one place."""

import ast
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import attrs
import pytest

import omeda_async

ROOT = Path(omeda_async.__file__).parent
FRONT = "omeda_async"
OWN = "<own package>"

# Each row: the modules it is about, what of ours they may import, what of others. All are whole-name patterns without
# "omeda_async."; OWN is the rest of the module's own package. The standard library is free but for SPECIAL below.
ROWS: list[tuple[str, str, str]] = [
    (r"_masking|_secret|_version|_clock|_retry_after|_bounded", r"", r""),
    (r"_thread", r"errors|_clock", r""),
    (r"_postgres", r"_bounded", r"psycopg(\..*)?"),
    (r"_postgres_blocking", r"_clock", r"psycopg(\..*)?"),
    (r"_postgres_callers", r"_postgres_blocking", r"psycopg(\..*)?"),
    (r"_postgres_tables", r"_postgres_blocking|_version", r""),
    (r"_quick", r"", r"attrs"),
    (r"errors", r"_masking", r"attrs"),
    (r"_shown", r"_masking", r""),
    (r"_row", r"_quick", r""),
    (r"_characters|_empty|_tables", r"", r""),
    (r"_generic", r"", r"typing_extensions"),
    (r"_ids", r"_characters", r""),
    (r"_levels", r"errors|_empty", r""),
    (r"_stop", r"errors", r""),
    (r"outcomes", r"errors|_masking|_generic|_plain|_notebook", r"attrs"),
    (r"_plain", r"errors|_masking|_empty|_row", r"attrs"),
    (r"_notebook", r"_masking", r""),
    (r"events", r"errors", r"attrs"),
    (r"_hooks", r"errors|events", r""),
    (r"_operation", r"errors|_quick", r"attrs"),
    (r"_telling", r"errors|events|outcomes|_(clock|hooks|operation)", r""),
    (
        r"limits(\..*)?",
        rf"errors|_bounded|_clock|_quick|_checks|_retry_after|_thread|_postgres|{OWN}",
        r"attrs|aiolimiter|cattrs(\..*)?|orjson|redis(\..*)?",
    ),
    (r"_checks", r"errors|_secret", r""),
    (r"_proxies", r"errors|_checks|_secret", r"attrs"),
    (r"settings", r"errors|limits|_checks|_masking|_secret", r"attrs"),
    (r"_environment", r"errors|limits|settings|_proxies", r"attrs"),
    (r"_decide", r"errors|outcomes|settings|_operation", r"attrs"),
    (r"_auth", r"errors|settings|_masking", r""),
    (r"_body", r"", r"aiohttp(\..*)?"),
    (r"_failures", r"errors|_body", r"aiohttp(\..*)?|yarl"),
    (r"_requests", r"errors|_checks|_proxies", r"aiohttp(\..*)?|yarl|multidict"),
    (r"_passage", r"errors|_failures|_requests", r"aiohttp(\..*)?|yarl|multidict"),
    (
        r"_transport",
        r"errors|_operation|_version|_(body|failures|passage|proxies|requests)",
        r"aiohttp(\..*)?|yarl|multidict",
    ),
    (r"_activity", r"errors|_stop", r""),
    (r"_account", r"errors|limits|settings|_(activity|auth|checks|hooks|secret|transport)", r"attrs"),
    (r"_result", r"errors|outcomes|_quick|_decide", r""),
    (r"_verify", r"errors|_(decide|operation|result)", r""),
    (
        r"_call",
        r"errors|events|limits|outcomes|_(masking|clock|operation|decide|auth|account|call_options|result|shown|telling|verify)",
        r"attrs",
    ),
    (r"_call_options", r"errors|limits|outcomes|_(quick|stop)", r""),
    (r"_single", r"errors|limits|settings|_(checks|secret|operation|account|call|call_options)", r""),
    (r"providers(\.[a-z]\w*)?", r"", r""),
    (r"providers\._models", r"", r""),
    (r"providers\._responses", r"errors|_masking|_operation|_retry_after", r"orjson"),
    (r"providers\._fields", r"errors|_empty|_ids|_tables", r""),
    (r"providers\._structuring", r"errors|_masking|_row|providers\._(models|fields)", r"attrs"),
    (r"providers\._pages", r"errors|_operation", r""),
    (r"providers\._cancels", r"errors|_operation|bulk|providers\._fields", r""),
    (r"providers\.[a-z_]+\.models", r"_masking|providers\._models", r"attrs"),
    (r"providers\.omeda\._addresses", r"errors|_characters|_empty|_ids", r"email_validator"),
    (
        r"providers\.[a-z_]+\._(converter|strict|validation|dates|culprits)",
        rf"errors|_row|_levels|_empty|_ids|providers\._(models|responses|fields|structuring)|{OWN}",
        r"attrs|orjson|cattrs(\..*)?",
    ),
    (
        r"providers\.[a-z_]+\._(operations|requests|parse|verification)",
        rf"errors|_quick|_masking|_operation|providers\._(models|responses|fields|structuring)|{OWN}",
        r"attrs|orjson",
    ),
    (r"providers\.omeda\._opt_outs", rf"errors|_operation|_account|_call|_result|_decide|bulk|{OWN}", r"attrs"),
    (
        r"providers\.[a-z_]+\.(client|_deployments)",
        rf"errors|limits|outcomes|settings|_clock|_checks|_account|_single|bulk(\.(outbox|shared)\.\w+)?|providers\._(models|cancels|pages)|{OWN}",
        r"attrs",
    ),
    (
        r"bulk(\._\w+)?",
        rf"errors|outcomes|events|limits|settings|_(masking|generic|notebook|clock|checks|operation|decide|account|result|row|call|call_options|hooks|stop|tables|telling)|{OWN}",
        r"attrs",
    ),
    (
        r"bulk\.journal(\.\w+)?",
        rf"errors|outcomes|_checks|_masking|_version|_clock|_thread|_postgres_(blocking|tables)|_result|_row|bulk\._(item|outlast)|{OWN}",
        r"attrs|orjson",
    ),
    (
        r"bulk\.outbox(\.\w+)?",
        rf"errors|outcomes|events|limits|_(version|bounded|clock|checks|account|call_options|generic|result|stop|thread|postgres(_\w+)?)|bulk\._\w+|bulk\.journal\.\w+|{OWN}",
        r"attrs|orjson",
    ),
    (
        r"bulk\.shared(\.\w+)?",
        rf"errors|outcomes|events|limits|_(clock|checks|generic|row|stop|thread)|bulk\._\w+|bulk\.journal\.\w+|{OWN}",
        r"attrs|orjson",
    ),
    (r"outbox", r"_checks|_clock|bulk\.outbox(\.((postgres_|sqlite_)?status|url))?", r""),
    (r"journal", r"errors|outcomes|bulk\.journal(\..*)?", r"attrs"),
    (
        r"manager",
        r"errors|events|limits|settings|_(environment|activity|auth|checks|decide|hooks|proxies|secret|telling|transport|account)|providers\.[a-z_]+\.client",
        r"",
    ),
    (
        r"",
        r"errors|outcomes|limits|settings|manager|bulk(\.outbox\.outbox|\.shared\.(run|reports))?|_version|providers\.[a-z_]+\.models",
        r"",
    ),
    # The sandbox: what the providers hold and do, their formats on top of it, and HTTP on top of that.
    (r"sandbox\._(callers|hiding|message|latency|windows|deployments|opt_outs|campaigns|transactions)", r"", r"attrs"),
    (r"sandbox\._(audit|faults)", r"sandbox\._message", r"attrs"),
    (r"sandbox\._deployment_rules", r"sandbox\._deployments", r"attrs"),
    (r"sandbox\._omeda", r"sandbox\._(deployments|deployment_rules|opt_outs)", r"attrs"),
    (r"sandbox\._ocamba", r"sandbox\._campaigns", r"attrs"),
    (r"sandbox\._journey_manager", r"sandbox\._transactions", r"attrs"),
    (r"sandbox\._omeda_api", r"sandbox\._(message|omeda|deployments|opt_outs)", r"attrs"),
    (r"sandbox\._ocamba_api", r"sandbox\._(message|ocamba)", r"attrs"),
    (r"sandbox\._journey_manager_api", r"sandbox\._(message|journey_manager)", r"attrs"),
    (
        r"sandbox\._state",
        r"sandbox\._(message|windows|audit|faults|(omeda|ocamba|journey_manager)(_api)?)",
        r"attrs",
    ),
    (
        r"sandbox\._glance",
        r"sandbox\._(audit|campaigns|deployments|faults|hiding|opt_outs|state|transactions)",
        r"attrs",
    ),
    (r"sandbox\._sums", r"sandbox\._(hiding|opt_outs|state)", r"attrs"),
    (r"sandbox\._control", r"sandbox\._(message|faults|glance|state)", r"attrs"),
    (r"sandbox\._page", r"sandbox\._message", r""),
    (r"sandbox\._exchange", r"sandbox\._(message|latency|windows|faults|state)", r"attrs"),
    (r"sandbox\._watch", r"sandbox\._(audit|exchange|glance|state|sums)", r"attrs"),
    (r"sandbox\._server", r"sandbox\._(callers|message|faults|exchange|control|page|watch)", r"attrs|aiohttp"),
    (
        r"sandbox\._sandbox",
        r"sandbox\._(latency|windows|audit|message|faults|deployment_rules|omeda|ocamba|journey_manager|state|exchange|server)",
        r"attrs",
    ),
    (r"sandbox", r"sandbox\._(message|latency|audit|faults|opt_outs|sandbox)", r""),
    (
        r"rows(\..*)?",
        rf"errors|_checks|_characters|_ids|_masking|_row|_levels|{OWN}",
        r"attrs|orjson|charset_normalizer(\..*)?|python_calamine",
    ),
    (r"otel", r"errors|events|_version", r"opentelemetry(\..*)?"),
    (r"testing", r"_clock", r"aiohttp|aioresponses"),
    (r"pytest_plugin", r"limits|sandbox|_environment|", r"pytest_asyncio"),
    (r"report(\._(failures|story|page|lines))?", rf"outcomes|_(masking|row)|{OWN}", r"attrs|orjson"),
    (r"report\._timeline", r"events|limits|_clock", r"attrs"),
    (r"report\._journal", rf"errors|journal|outcomes|_masking|{OWN}", r""),
    (
        r"worker(\..*)?",
        rf"errors|outcomes|events|manager|journal|_(masking|clock|checks|hooks|postgres_blocking)|bulk(\.shared\.reports|\.journal\.(url|postgres_control))?|rows(\._file)?|{OWN}",
        r"attrs|procrastinate(\..*)?",
    ),
    (
        r"cli(\..*)?|__main__",
        rf"errors|outcomes|events|limits|settings|_environment|sandbox|journal|outbox|report\..*|worker(\._(operations|places))?|rows(\._formulas)?|cli(\._process)?||{OWN}",
        r"attrs|typer|rich(\..*)?",
    ),
]

# What only some modules may touch, by the dotted name imported.
SPECIAL: list[tuple[str, str]] = [
    (r"aiohttp(?!\.web(\.|$)).*", r"_transport|_requests|_passage|_body|_failures|testing"),
    (r"aiohttp\.web(\..*)?", r"sandbox\._server"),
    (r"email_validator.*", r"providers\.omeda\._addresses"),
    (r"aiolimiter.*", r"limits\._limiter"),
    (r"psycopg(\..*)?", r"_postgres(_blocking|_callers)?"),
    (r"sqlite3.*", r"bulk\.(journal|outbox)\.sqlite(_\w+)?|limits\._sqlite_file"),
    (r"procrastinate(\..*)?", r"worker\..*"),
    (r"redis(\..*)?", r"limits\._redis_(link|store)"),
    (r"(cattrs|orjson)(\..*)?", r"(?!limits\.).*|limits\._stored"),
    (r"os\.(environ|getenv|environb|putenv)", r"_environment|cli\..*"),
    (r"random(\..*)?", r"_decide|sandbox\._(latency|windows|faults|state)"),
    (r"time(\..*)?", r"_clock"),
    (
        r"(asyncio\.)?(sleep|create_task|ensure_future)",
        r"_clock|_auth|_bounded|limits\._(store_limiter|redis_store)|sandbox\._(exchange|sums)|bulk\..*|worker\._running|cli\..*",
    ),
    (
        r"asyncio(\..*)?",
        r"(?!providers\.[a-z_]+\._(operations|requests|verification|parse|converter)|errors|outcomes|events|_decide).*",
    ),
    (r"asyncio(\..*)?", r"(?!sandbox\.).*|sandbox\._(exchange|sandbox|sums|watch)"),
    (r"datetime\.(datetime|date)\.(now|utcnow|today)", r"_clock|sandbox\._sandbox"),
    (r"charset_normalizer.*", r"rows\._charset"),
    (r"python_calamine.*", r"rows\._workbook"),
    (r"(requests|httpx|urllib3|http\.client|urllib\.request).*", r"(?!.*).*"),
    (r"omeda_async\.(?!sandbox).*", r"(?!sandbox).*"),
]
MODULES = sorted(ROOT.rglob("*.py"))


@attrs.frozen
class Use:
    """One dotted name that a module imports or reads."""

    line: int
    name: str


def name_of(path: Path) -> str:
    """The dotted name of a module inside the package; empty for the front door."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _is_module(dotted: str) -> bool:
    path = ROOT.joinpath(*dotted.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def uses_in(source: str) -> Iterator[Use]:
    """Every name imported anywhere in the module, whole; and every ``name.attribute`` of what was imported."""
    tree = ast.parse(source)
    known: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                known[alias.asname or alias.name] = alias.name
                yield Use(node.lineno, alias.name)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute"
            for alias in node.names:
                known[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                yield Use(node.lineno, f"{node.module}.{alias.name}")
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            root, _, rest = ast.unparse(node).partition(".")
            if root in known:
                yield Use(node.lineno, f"{known[root]}.{rest}")


def _ours(name: str) -> str | None:
    """The module of ours that an imported name belongs to; None for others'."""
    if name.partition(".")[0] != FRONT:
        return None
    inner = name.partition(".")[2]
    while inner and not _is_module(inner):
        inner = inner.rpartition(".")[0]
    return inner


def _row_of(module: str) -> tuple[str, str]:
    rows = [(ours, others) for pattern, ours, others in ROWS if re.fullmatch(pattern, module)]
    assert len(rows) == 1, f"{module or FRONT} stands in {len(rows)} rows of the table; it belongs in one"
    return rows[0]


def _package_of(module: str) -> str:
    if (ROOT.joinpath(*module.split(".")) / "__init__.py").is_file():
        return module
    return module.rpartition(".")[0]


def _wrong(module: str, use: Use) -> bool:
    allowed, others = _row_of(module)
    target = _ours(use.name)
    if target is None:
        top = use.name.partition(".")[0]
        stranger = top not in sys.stdlib_module_names
        return stranger and not re.fullmatch(others, use.name) and not re.fullmatch(others, top)
    package = _package_of(module)
    own = rf"{re.escape(package)}(\..*)?" if package else "(?!)"
    return not re.fullmatch(allowed.replace(OWN, own), target)


def findings(module: str, source: str) -> list[str]:
    """What a module imports or uses that it may not."""
    found = []
    for use in uses_in(source):
        special = [allowed for pattern, allowed in SPECIAL if re.fullmatch(pattern, use.name)]
        if _wrong(module, use) or not all(re.fullmatch(allowed, module) for allowed in special):
            found.append(f"{module or FRONT}:{use.line} may not use {use.name}")
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: name_of(path) or FRONT)
def test_a_module_imports_downward_only(path: Path) -> None:
    """Each module uses what its row of the table allows, and nothing else."""
    assert findings(name_of(path), path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("errors", "from omeda_async.outcomes import Outcome"),
        ("errors", "from omeda_async import _clock"),
        ("_decide", "from omeda_async._call import Call"),
        ("_decide", "import asyncio"),
        ("settings", "from omeda_async.manager import SessionManager"),
        ("limits._slots", "from omeda_async._transport import Transport"),
        ("limits._state", "import aiolimiter"),
        ("limits._limiter", "import random"),
        ("_call", "from omeda_async.bulk import BulkRun"),
        ("_call", "import aiohttp"),
        ("_call", "import time"),
        ("_call", "import asyncio\nasync def wait() -> None:\n    await asyncio.sleep(1)"),
        ("events", "from datetime import datetime\nnow = datetime.now"),
        ("events", "import datetime as dt\nnow = dt.datetime.now(dt.UTC)"),
        ("manager", "import aiohttp"),
        ("manager", "from aiohttp import ClientSession"),
        ("manager", "import os\nprint(os.environ)"),
        ("bulk._run", "from omeda_async.providers.omeda.client import OmedaClient"),
        ("bulk._run", "from omeda_async.providers import _responses"),
        ("bulk._engine", "import sqlite3"),
        ("bulk._engine", "def late():\n    import sqlite3"),
        ("bulk.journal.writer", "import sqlite3"),
        ("bulk.journal.writer", "from omeda_async.bulk.outbox.interface import Store"),
        ("bulk.outbox.delivery", "import sqlite3"),
        ("bulk.outbox.outbox", "from omeda_async.providers.omeda.models import OptOut"),
        ("outbox", "from omeda_async.bulk.outbox.delivery import Delivery"),
        ("providers.omeda.models", "import cattrs"),
        ("providers.omeda.models", "from omeda_async.errors import ApiError"),
        ("providers._models", "from omeda_async._masking import masked_repr"),
        ("events", "from omeda_async._masking import mask_emails"),
        ("providers.omeda._operations", "import asyncio"),
        ("providers.omeda._operations", "from omeda_async._call import call"),
        ("providers.omeda._converter", "from omeda_async.providers.ocamba.models import Campaign"),
        ("providers.ocamba.client", "from omeda_async.providers.omeda import client"),
        ("providers.ocamba.client", "from omeda_async._transport import Transport"),
        ("sandbox._server", "from omeda_async.errors import ApiError"),
        ("sandbox._server", "from omeda_async.providers.omeda import models"),
        ("sandbox._server", "import aiohttp"),
        ("sandbox._server", "from aiohttp import ClientSession"),
        ("sandbox._server", "from omeda_async.sandbox._sandbox import Sandbox"),
        ("sandbox._control", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from aiohttp import web"),
        ("sandbox._exchange", "from aiohttp import web"),
        ("sandbox._omeda", "from aiohttp import web"),
        ("sandbox._omeda", "from omeda_async.sandbox._message import Response"),
        ("sandbox._ocamba", "import asyncio"),
        ("sandbox._ocamba", "from omeda_async.sandbox._ocamba_api import OcambaApi"),
        ("sandbox._transactions", "from datetime import datetime\nnow = datetime.now"),
        ("cli._bulk", "from omeda_async._call import call"),
        ("testing", "from omeda_async import _transport"),
        ("", "from omeda_async.sandbox import Sandbox"),
        ("_transport", "import httpx"),
        ("settings", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import orjson"),
    ],
)
def test_a_planted_arrow_upward_is_found(module: str, line: str) -> None:
    """The check can fail: each of these is reported, with its line."""
    found = findings(module, f'"""A docstring."""\n{line}\n')
    assert len(found) >= 1
    assert found[-1].startswith(f"{module or FRONT}:")


def test_a_module_without_a_row_is_found() -> None:
    """A new module has to be put into the table."""
    with pytest.raises(AssertionError, match="stands in 0 rows"):
        findings("helpers", "import attrs")


def test_an_allowed_import_is_not_reported() -> None:
    """The check can pass: what the table allows is no finding."""
    assert findings("_transport", "import aiohttp\nfrom omeda_async.errors import AnswerLost") == []
    assert findings("sandbox._server", "from aiohttp import web\nfrom omeda_async.sandbox import _control") == []
    assert findings("_environment", "import os\nprint(os.environ)") == []


def circle_in(imports: Mapping[str, Iterable[str]]) -> list[str]:
    """Return modules of which each imports the next, and the last is the first; nothing where there are none."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_modules_import_each_other() -> None:
    """Neither directly nor over others, neither late nor for the type checker, in the whole package."""
    imports = {}
    for path in MODULES:
        targets = {_ours(use.name) for use in uses_in(path.read_text("utf-8"))}
        imports[name_of(path)] = {name for name in targets if name not in {None, name_of(path)}}
    assert circle_in(imports) == []


def test_a_planted_circle_is_found() -> None:
    """The check can fail, also where a third module stands between."""
    assert circle_in({"a": ["b"], "b": ["c"], "c": []}) == []
    assert sorted(set(circle_in({"a": ["b"], "b": ["c"], "c": ["a"]}))) == ["a", "b", "c"]


def test_no_module_is_longer_than_400_lines() -> None:
    """A module that grows past it is divided."""
    long = {name_of(path): len(path.read_text("utf-8").splitlines()) for path in MODULES}
    assert {name: lines for name, lines in long.items() if lines > 400} == {}


def test_the_models_of_one_provider_do_not_know_the_others() -> None:
    """Providers never import each other, by the table's own words."""
    for path in sorted((ROOT / "providers").glob("*/*.py")):
        own = path.parent.name
        others = {use.name.split(".")[2] for use in uses_in(path.read_text("utf-8")) if ".providers." in use.name}
        assert {name for name in others if not name.startswith("_")} <= {own}
