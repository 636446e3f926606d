"""The demo and the help as terminals of all kinds show them; and what shells complete."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from rich.cells import cell_len
from typer.main import get_group
from typer.testing import CliRunner

from omeda_async.cli import app
from omeda_async.cli._help import EXAMPLES

pytestmark = pytest.mark.real_clock
NARROW = 40
DEMO = """
import asyncio, sys
from omeda_async.cli import _demo_data as data
from omeda_async.testing import run_moved
data.OPT_OUTS, data.CAMPAIGNS, data.DEPLOYMENTS, data.TRANSACTIONS = 1250, 20, 5, 5
asyncio.run = run_moved
sys.argv = ["omeda-async", "demo"]
from omeda_async.__main__ import main
main()
"""
COLOUR = re.compile(r"\x1b\[[\d;]*(?:3[0-7]|9[0-7]|38|48)[\d;]*m")
CONTROL = re.compile(r"\x1b\[\??[\d;]*[A-Za-z]")


def on_a_terminal(folder: Path, **variables: str) -> str:
    """Run a small demo on a pseudo-terminal of 40 columns; return what it has shown."""
    outside, inside = pty.openpty()
    fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 24, NARROW, 0, 0))
    with subprocess.Popen(  # noqa: S603 ours
        [sys.executable, "-c", DEMO],
        cwd=folder,
        stdin=inside,
        stdout=inside,
        stderr=inside,
        env=_plain_environment() | variables,
    ):
        os.close(inside)
        seen = b""
        while more := _read(outside):
            seen += more
    os.close(outside)
    return seen.decode().replace("\r\n", "\n")


def _plain_environment() -> dict[str, str]:
    said = {"COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLORTERM"}
    return {name: value for name, value in os.environ.items() if name not in said} | {
        "PYTHONPATH": os.pathsep.join(sys.path)
    }


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # nobody writes to it any more
        return b""


def _widest(seen: str) -> int:
    lines = re.split(r"[\r\n]", CONTROL.sub("", seen.replace("\x1b[2K", "\n")))
    return max(cell_len(line.rstrip()) for line in lines if "http://" not in line)


def test_a_narrow_terminal_sees_bars_and_no_line_that_is_broken_in_a_word(tmp_path: Path) -> None:
    """At 40 columns nothing is wider, the bars are drawn in place, and the sums are sentences."""
    seen = on_a_terminal(tmp_path, TERM="xterm-256color")
    assert "\x1b[2K" in seen
    assert COLOUR.search(seen)
    assert _widest(seen) <= NARROW
    assert "opt-outs: 1,250 records, 1,249 done, 1\nrejected" in CONTROL.sub("", seen)


def test_a_dumb_terminal_gets_words_only(tmp_path: Path) -> None:
    """No colour, no cursor that moves: plain lines as they come."""
    seen = on_a_terminal(tmp_path, TERM="dumb")
    assert "\x1b" not in seen
    assert "\r" not in seen
    assert _widest(seen) <= NARROW
    assert "opt-outs: 1,250 records" in seen


def test_without_colours_the_bars_stay(tmp_path: Path) -> None:
    """NO_COLOR takes the colours away, and nothing else."""
    seen = on_a_terminal(tmp_path, TERM="xterm-256color", NO_COLOR="1")
    assert "\x1b[2K" in seen
    assert COLOUR.search(seen) is None


def test_a_pipe_gets_the_results_and_nothing_else(tmp_path: Path) -> None:
    """Standard output holds the table and the verdict, standard error what went before; neither a control character."""
    done = subprocess.run(  # noqa: S603 ours
        [sys.executable, "-c", DEMO],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=_plain_environment(),
        check=False,
    )
    assert "\x1b" not in done.stdout + done.stderr
    assert done.stderr.startswith("The sandbox answers at http://127.0.0.1:")
    assert done.stdout.split()[:3] == ["records", "done", "rejected"]
    assert "Audit:" in done.stdout


def test_every_command_has_examples() -> None:
    """And nothing else has."""
    assert set(EXAMPLES) == set(get_group(app).commands)


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("columns", ["40", "100"])
def test_help_ends_with_examples_that_are_whole(name: str, columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in a narrow terminal, where a line that is broken could not be copied; ``-h`` does as well."""
    monkeypatch.setenv("COLUMNS", columns)
    asked = [CliRunner().invoke(app, [name, option]) for option in ("-h", "--help")]
    assert {one.exit_code for one in asked} == {0}
    assert asked[0].output == asked[1].output
    assert asked[0].output.partition("\nExamples:\n")[2].splitlines() == [f"  {line}" for line in EXAMPLES[name]]


OPTION = re.compile(r"(?<= )--?[a-z-]+")


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_name_options_that_there_are(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every option of an example stands in the help above it."""
    monkeypatch.setenv("COLUMNS", "200")
    above, _, below = CliRunner().invoke(app, [name, "--help"]).output.partition("\nExamples:\n")
    used = set(OPTION.findall(below.replace("cut -d, -f1", "")))
    assert used or name == "cancel-run"  # it has none
    assert {option for option in used if not re.search(rf"{option}\b", above)} == set()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_is_given_what_it_needs_to_complete(shell: str) -> None:
    """Its script, for each shell in its own words."""
    result = CliRunner().invoke(app, [], prog_name="omeda-async", env={"_OMEDA_ASYNC_COMPLETE": f"source_{shell}"})
    assert result.exit_code == 0
    assert "_OMEDA_ASYNC_COMPLETE=complete_" in result.output


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("omeda-async can", {"cancel-deployments", "cancel-campaigns", "cancel-transactions", "cancel-run"}),
        ("omeda-async demo --j", {"--journal"}),
    ],
)
def test_commands_and_options_are_completed(words: str, completed: set[str]) -> None:
    """As bash asks for them."""
    asked = {"_OMEDA_ASYNC_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    result = CliRunner().invoke(app, [], prog_name="omeda-async", env=asked)
    assert set(result.output.split()) == completed
