"""What a command says speaks of options and variables, and never of Python."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import omeda_async
from omeda_async.cli._words import in_command
from tests.cli.cli_scene import Scene

ROOT = Path(omeda_async.__file__).parent
PYTHON = re.compile(r"(?<![\w'\".-])[a-z]\w+=(?!=)|\b[A-Z]\w+Settings\b|\bin Python\b|http_session")
NOT_BY_A_COMMAND = re.compile(
    # What only a program can do: sessions, data frames, tokens that are called, batchers, waits for one call.
    r"(_account|_checks|_passage|_requests|manager|settings|events|otel|testing|pytest_plugin)\.py"
    r"|bulk/(_given|_batcher_view)\.py|bulk/outbox/|limits/_refusals\.py|sandbox/|cli/|providers/omeda/client\.py"
)
"""Modules whose words no command can show."""
HARMLESS = (
    *("parallel=10", "sep=", "dtype=str", "tzinfo=UTC", "named=True", "http_session expects", "cafile=…"),
    *("max_wait=x s", "sslmode=", "is a plain string", "--column {field}=NAME"),
    *("leave run=… out", "?run=NAME", "give BulkJobs("),
)
"""What a file or an option holds, what tells who reads rows in Python, and contexts that no command makes."""


def texts(path: Path) -> Iterator[str]:
    """Return the sentences in a module, those in f-strings with their gaps, without documentation and SQL."""
    tree = ast.parse(path.read_text("utf-8"))
    seen = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            seen.update(map(id, node.values))
            yield "".join(part.value if isinstance(part, ast.Constant) else "x" for part in node.values)  # type: ignore[misc]  # of an f-string they are texts
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in seen:
            yield node.value


def sentences() -> Iterator[str]:
    for path in sorted(ROOT.rglob("*.py")):
        if not NOT_BY_A_COMMAND.search(path.relative_to(ROOT).as_posix()):
            yield from (text for text in texts(path) if " " in text and not re.match(r"\s*[A-Z]{4,}|\s+\(", text))


def test_no_sentence_that_a_command_can_show_speaks_of_python() -> None:
    """Whoever adds one that names an argument adds what a command says instead."""
    found = [text for text in sentences() if PYTHON.search(in_command(text))]
    assert [text for text in found if not any(one in text for one in HARMLESS)] == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--journal-pii", "keeep"), "--journal-pii must be 'keep' or 'hash'"),
        (("--deadline", "1e400"), "--deadline must be a positive number of seconds"),
        (("--concurrency", "9" * 30), "--concurrency must be a whole number from 1 to 100000"),
        (("--max-entries", "9" * 30), "--max-entries must be a whole number from 1 to"),
        (("--limit", "9" * 30), "--limit must be a whole number from 1 to"),
        (("--proxy", "socks5://proxy"), "--proxy names a SOCKS proxy: only http:// and https:// are known here; name"),
        (("--proxy", "http://"), "--proxy must be a URL such as"),
        (("--journal", "postgresql://host/db"), "--journal: the URL of a database needs the name of the run"),
        (("--encoding", "klingon"), "'klingon' is no encoding"),
        (("--share-limits", "postgresql://host:port/db"), "--share-limits: it must read"),
    ],
)
def test_an_option_is_refused_by_the_name_that_was_typed(scene: Scene, options: tuple[str, str], said: str) -> None:
    """With dashes, as it stands on the command line."""
    file = scene.file("in.csv", "email\na@example.com\n")
    result = scene.give("opt-out", file, "--yes", *options)
    words = " ".join(result.stderr.split())
    assert result.exit_code == 2
    assert said in words
    assert not PYTHON.search(words.replace("run=NAME", "").replace("sslmode=", ""))
    assert scene.sandbox.requests == []


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("status",), "Error: the URL of a database must say what to show of it: ?run=NAME, or ?outbox=NAME"),
        (
            ("status", "--failed"),
            "Error: the URL of a database must say what to show of it: ?run=NAME, or ?outbox=NAME",
        ),
        (("cancel-run",), "Error: the URL of a database needs the name of the run"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_an_argument_is_not_called_an_option(scene: Scene, command: tuple[str, ...], said: str) -> None:
    """The sentence says what to add to it, also to mean an outbox."""
    for url in ("postgresql://host/db", "postgresql:///db?host=h&port=1"):
        result = scene.give(command[0], url, *command[1:])
        assert result.exit_code == 2
        words = " ".join(result.stderr.split())
        assert said in words
        assert "--journal" not in words


@pytest.mark.parametrize(
    ("refused", "said"),
    [(40, "--format json has all 40"), (1001, "--format json has the first 1,000 of the 1,001")],
)
def test_a_plan_says_how_many_of_the_refused_its_document_has(scene: Scene, refused: int, said: str) -> None:
    """It keeps a thousand."""
    rows = "".join(f"{chr(0x2200 + number % 100)}@example.com\n" for number in range(refused))
    result = scene.give("opt-out", scene.file("in.csv", f"email\nok@example.com\n{rows}"), "--plan")
    assert said in " ".join(result.output.split())


def test_what_is_the_matter_with_a_file_is_told_in_options(scene: Scene) -> None:
    """Unknown columns, an address that nobody has, a user who is not named."""
    unknown = scene.give("opt-out", scene.file("in.csv", "email,colour\na@example.com,red\n"), "--plan")
    odd = scene.give("opt-out", scene.file("odd.csv", "email\n.a@example.com\n"), "--plan")
    said = " ".join((unknown.output + odd.output).split())
    assert "--ignore-other-columns, or some of them with --ignore-column NAME," in said
    assert "--column brand_ids=NAME" in said
    assert "--allow-odd-addresses sends it all the same" in said
    assert not PYTHON.search(said.replace("brand_ids=NAME", ""))
