"""What is seen while a run goes on, and the way in."""

import asyncio
import builtins
import io
import os
import pty
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from omeda_async import OcambaSettings, OptOutReceipt, Outcome, OutcomeStatus, SessionManager, __main__, __version__
from omeda_async.cli import app
from omeda_async.cli._outcomes import as_dict, line
from omeda_async.cli._progress import Watched, limit_in_words, watching
from omeda_async.cli._screen import seconds_in_words
from omeda_async.errors import BadRequest
from omeda_async.limits import LimitsView, Priority, Window, WindowView
from omeda_async.sandbox import Sandbox


async def shown_while_cancelling(console: Console, count: int) -> None:
    ids = [str(number) for number in range(count)]
    async with Sandbox() as sandbox:
        sandbox.ocamba.seed_campaigns(ids[1:])
        async with SessionManager(ocamba=OcambaSettings(token=sandbox.ocamba_token, base_url=sandbox.url)) as manager:
            run = manager.ocamba.campaigns.cancel_many(ids)
            watched = Watched(title="Cancel", run=run, total=count, limits=lambda: manager.ocamba.limits)
            with watching([watched], console):
                await run


async def test_a_terminal_sees_a_bar_with_what_the_limiter_allows() -> None:
    """Done, not done, rate, time left and the slots in use are beside the bar, and it ends full."""
    file = io.StringIO()
    await shown_while_cancelling(Console(file=file, force_terminal=True, width=140), 60)
    seen = file.getvalue()
    assert "/10 used in 1 s" in seen
    assert " left" in seen
    last = seen.rpartition("Cancel")[2]
    assert "60/60" in last
    assert "1 not done" in last


async def test_elsewhere_a_plain_line_comes_every_few_seconds() -> None:
    """Sixty cancels take six seconds, in which one line is due; it holds no control characters."""
    file = io.StringIO()
    await shown_while_cancelling(Console(file=file, width=140), 60)
    lines = file.getvalue().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("Cancel: ")
    assert "of 60 · 1 not done · " in lines[0]
    assert lines[0].isprintable()


async def test_nothing_goes_on_drawing_after_the_end() -> None:
    """The timer that draws is gone with the block, so that the loop can end."""
    await shown_while_cancelling(Console(file=io.StringIO()), 3)
    assert len(asyncio.all_tasks()) == 1


def view(**changed: Any) -> LimitsView:
    window = WindowView(window=Window(10, 1.0), used=3, free=7, held=0, headers="unseen")
    waiting: Mapping[Priority, int] = {}
    usual: dict[str, Any] = {
        "windows": (window,),
        "waiting": waiting,
        "in_flight": 2,
        "parallel": 8,
        "next_slot_in": 0.0,
        "paused_for": 0.0,
        "refusals": 0,
        "pace": None,
    }
    return LimitsView(**usual | changed)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, "3/10 used in 1 s"),
        ({"windows": ()}, "2 on the way of 8"),
        ({"windows": (), "parallel": None}, "2 on the way"),
        ({"next_slot_in": 42.0}, "3/10 used in 1 s · next slot in 42 s"),
        ({"paused_for": 61.0}, "paused by the provider for 1 min 1 s"),
        (
            {"held_for": 42.0, "paused_for": 61.0, "shared_by": "the file x"},
            "held for 42 s, as the file x does not know what was sent before",
        ),
        (
            {"store_reachable": False, "held_for": 42.0, "shared_by": "the file x"},
            "waiting for the file x, which does not answer",
        ),
    ],
)
def test_limits_are_said_in_words(changed: dict[str, Any], words: str) -> None:
    """Windows with their slots in use, or what is in flight; a pause before everything else."""
    assert limit_in_words(view(**changed)) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.6, "1 min 0 s"), (185, "3 min 5 s"), (7800, "2 h 10 min")],
)
def test_durations_are_said_as_people_say_them(seconds: float, words: str) -> None:
    """No unit ever holds more than it can."""
    assert seconds_in_words(seconds) == words


def test_a_providers_words_cannot_steer_the_terminal() -> None:
    """Control characters in a message are replaced, addresses in a key are masked."""
    error = BadRequest("no \x1b[31m such\nthing for a@x.com")
    outcome = Outcome("r", "b@x.com", 4, OutcomeStatus.REJECTED, 1, None, error)
    replaced = "\N{REPLACEMENT CHARACTER}"
    assert line(outcome) == f"record 5 (b***@x.com): rejected: no {replaced}[31m such{replaced}thing for a***@x.com"


def test_a_line_of_results_keeps_the_callers_key() -> None:
    """The key is the caller's own means to find the record again."""
    outcome = Outcome("r", "b@x.com", 4, OutcomeStatus.DONE, 1, {"id": 1}, None)
    assert as_dict(outcome) == {
        "row": None,
        "position": 4,
        "key": "b@x.com",
        "status": "done",
        "attempts": 1,
        "error": None,
        "message": None,
        "receipt": {"id": 1},
    }


def test_the_whole_response_is_in_no_result() -> None:
    """It may hold addresses, and would stand in every row that shared the request."""
    receipt = OptOutReceipt("S", "queued", raw={"Success": "queued", "Address": "jane.doe@omeda.com"})
    outcome = Outcome(record="r", key="k", position=0, status=OutcomeStatus.DONE, attempts=1, receipt=receipt)
    assert as_dict(outcome)["receipt"] == {"submission_id": "S", "message": "queued", "settled": False}


def test_help_names_every_command() -> None:
    """Someone who asks for help sees what there is, and the exit codes."""
    result = CliRunner().invoke(app, ["--help"])
    assert result.exit_code == 0
    for command in ("demo", "sandbox", "opt-out", "cancel-deployments", "cancel-campaigns", "cancel-transactions"):
        assert command in result.stdout
    assert "130 interrupted" in " ".join(result.stdout.split())


def test_the_version_is_told() -> None:
    """--version is enough, without a command."""
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"omeda-async {__version__}\n")


@pytest.mark.parametrize("package", ["typer", "rich"])
def test_without_the_extra_it_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], package: str
) -> None:
    """A missing package of the extra is exit 2 with the line to install it, no traceback."""
    genuine = builtins.__import__

    def importing(name: str, *rest: Any) -> Any:
        if name.split(".", maxsplit=1)[0] == package:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)
        return genuine(name, *rest)

    for name in [name for name in sys.modules if name.startswith("omeda_async.cli")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", importing)
    with pytest.raises(SystemExit) as ended:
        __main__.main()
    monkeypatch.undo()
    assert ended.value.code == 2
    assert "pip install 'omeda-async[cli]'" in capsys.readouterr().err


@pytest.mark.real_clock
def test_a_no_on_a_real_terminal_sends_nothing(tmp_path: Path) -> None:
    """On a pseudo-terminal the question is asked, and "n" ends it with 1."""
    (tmp_path / "ids.txt").write_text("1\n2\n")
    outside, inside = pty.openpty()
    environment = os.environ | {"OCAMBA_TOKEN": "t", "OCAMBA_BASE_URL": "http://127.0.0.1:9"}
    command = [sys.executable, "-m", "omeda_async", "cancel-campaigns", str(tmp_path / "ids.txt")]
    with subprocess.Popen(  # noqa: S603 ours
        command, stdin=inside, stdout=subprocess.PIPE, stderr=inside, env=environment
    ) as process:
        os.close(inside)
        os.write(outside, b"n\n")
        assert process.wait(20) == 1
    seen = os.read(outside, 4096).decode()
    os.close(outside)
    words = " ".join(seen.split())
    assert "Cancel campaigns: 2 records, at Ocamba (127.0.0.1:9). This cannot be undone. Go on? [y/N]:" in words
    assert "Nothing was sent." in seen
