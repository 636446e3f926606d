"""How a command ends when the world is not right: signals at the end, a full standard output, a journal that fails."""

import asyncio
import errno
import fcntl
import io
import json
import os
import pty
import re
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import typer

from omeda_async import BulkRun, ConnectionFailed, SessionManager
from omeda_async.cli import _bulk, _sending
from omeda_async.cli._order import Order
from omeda_async.cli._outcomes import advice
from omeda_async.cli._process import Output, OutputLost
from omeda_async.sandbox import Fault, Sandbox
from tests.cli.cli_scene import Scene

HELP = ("-h", "--help")
COMMAND = [sys.executable, "-m", "omeda_async"]
ENVIRONMENT = os.environ | {"OCAMBA_TOKEN": "t", "OCAMBA_BASE_URL": "http://127.0.0.1:9", "COLUMNS": "120"}


def send(number: int) -> None:
    os.kill(os.getpid(), number)


def campaigns(scene: Scene, count: int = 100) -> Path:
    ids = [str(number) for number in range(count)]
    scene.sandbox.ocamba.seed_campaigns(ids)
    return scene.file("in.txt", "\n".join(ids) + "\n")


def closing_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    close = SessionManager.__aexit__

    async def slow(manager: SessionManager, *_: object) -> None:
        await close(manager, None, None, None)
        await asyncio.sleep(1000)

    monkeypatch.setattr(SessionManager, "__aexit__", slow)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_is_ignored_from_the_start_stays_ignored(scene: Scene, number: int) -> None:
    """So nohup and background jobs ask for it."""
    before = signal.signal(number, signal.SIG_IGN)
    try:
        scene.timers.append((0.5, partial(send, number)))
        result = scene.give("cancel-campaigns", campaigns(scene, 20), "--yes")
    finally:
        signal.signal(number, before)
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_second_signal_while_the_command_closes_exits_130(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """The run has ended in order by then, closing takes long, and the summary comes all the same."""
    closing_takes_long(monkeypatch)
    scene.timers += [(0.5, partial(send, number)), (60, partial(send, number))]
    result = scene.give("cancel-campaigns", campaigns(scene), "--yes", "--format", "json")
    assert result.exit_code == 130, result.output
    found = json.loads(result.stdout)
    assert found["total"] == 100
    assert found["counts"].keys() == {"done", "not_sent"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_third_signal_waits_for_nothing(scene: Scene, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """The second has broken off what was on its way; what is known is reported."""
    closing_takes_long(monkeypatch)
    scene.sandbox.fault(Fault("slow", "after", times=None, seconds=20.0))
    scene.timers += [(seconds, partial(send, number)) for seconds in (0.5, 1.0, 60.0)]
    result = scene.give("cancel-campaigns", campaigns(scene), "--yes", "--format", "json")
    assert result.exit_code == 130, result.output
    assert json.loads(result.stdout)["total"] == 100


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_the_summary_is_written_exits_130(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Standard output may be a pipe that nobody reads; what was sent is not denied."""
    monkeypatch.setattr(_sending, "show_report", lambda *_, **__: send(number))
    result = scene.give("cancel-campaigns", campaigns(scene, 1), "--yes")
    assert result.exit_code == 130, result.output
    assert "Interrupted while the summary was written." in result.stderr
    assert "nothing was sent" not in result.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_the_question_stands_sends_nothing(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Whichever it is, it is told and exits 130; the signals are as they were afterwards."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    monkeypatch.setattr(_bulk, "someone_there", lambda: True)
    monkeypatch.setattr(typer, "confirm", lambda *_, **__: send(number))
    result = scene.give("cancel-campaigns", campaigns(scene, 1), "--journal", scene.directory / "run.sqlite3")
    assert result.exit_code == 130
    assert "Interrupted; nothing was sent." in result.stderr
    assert scene.sandbox.requests == []
    assert {number: signal.getsignal(number) for number in before} == before


def ended(arguments: list[str | Path], *, out: str = "full", unbuffered: bool = False) -> tuple[int, str]:
    """Give a command whose standard output cannot be written; return its exit code and what it says."""
    environment = ENVIRONMENT | ({"PYTHONUNBUFFERED": "1"} if unbuffered else {})
    pipe = subprocess.Popen(["true"], stdin=subprocess.PIPE)  # noqa: S607 any that reads nothing
    pipe.wait()
    assert pipe.stdin is not None
    with Path("/dev/full").open("w") as full, pipe.stdin:
        run = subprocess.run(  # noqa: S603 ours
            [*COMMAND, *map(str, arguments)],
            stdout=full if out == "full" else pipe.stdin,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            check=False,
        )
    return run.returncode, run.stderr


@pytest.mark.parametrize("unbuffered", [False, True])
@pytest.mark.parametrize("out", ["full", "pipe"])
@pytest.mark.parametrize(
    "arguments", [["--help"], ["opt-out", "-h"], ["--version"], ["cancel-campaigns", "ids.txt", "--plan"]]
)
def test_a_full_standard_output_is_one_line_and_exit_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str | Path], out: str, unbuffered: bool
) -> None:
    """A disk that is full, a reader that has gone: no traceback, and no success. Help is read as far as one likes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(ENVIRONMENT, "PYTHONPATH", os.pathsep.join(sys.path))
    Path("ids.txt").write_text("1\n")
    code, said = ended(arguments, out=out, unbuffered=unbuffered)
    reason = "No space left on device" if out == "full" else "Broken pipe"
    told = f"Error: standard output cannot be written: {reason}\n"
    assert (code, said) == (1, "" if arguments[-1] in HELP and out == "pipe" else told)


def test_a_summary_that_cannot_be_written_is_said_in_a_line(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """What became of the records is in that line, as it is nowhere else."""
    scene.sandbox.ocamba.seed_campaign("0")

    def lost(*_: object, **__: object) -> None:
        raise OutputLost("standard output cannot be written: No space left on device")

    monkeypatch.setattr(_sending, "show_report", lost)
    result = scene.give("cancel-campaigns", scene.file("in.txt", "0\n1\n"), "--yes")
    assert result.exit_code == 1
    assert "cannot be written: No space left on device; 2 records: 1 done, 1 rejected" in result.stderr


@pytest.mark.parametrize(("out", "form"), [("full", "table"), ("pipe", "json")])
async def test_a_run_that_has_ended_says_so_where_its_summary_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str, form: str
) -> None:
    """The sums come in the one line that is left, and the results and the journal are whole; so is what status says."""
    ids, journal, output = tmp_path / "ids.txt", tmp_path / "run.sqlite3", tmp_path / "out.jsonl"
    ids.write_text("1\n2\nnone\n")
    reason = "No space left on device" if out == "full" else "Broken pipe"
    told = f"Error: standard output cannot be written: {reason}"
    async with Sandbox() as sandbox:
        sandbox.ocamba.seed_campaigns(["1", "2"])
        for name, value in (sandbox.settings_env() | {"PYTHONPATH": os.pathsep.join(sys.path)}).items():
            monkeypatch.setitem(ENVIRONMENT, name, value)
        run: list[str | Path] = ["cancel-campaigns", ids, "--yes", "--journal", journal, "--output", output]
        code, said = await asyncio.to_thread(ended, [*run, "--format", form], out=out)
        assert (code, said.splitlines()[-1]) == (1, f"{told}; 3 records: 2 done, 1 rejected")
        assert "Traceback" not in said
        assert sorted(json.loads(line)["status"] for line in output.read_text().splitlines()) == [
            *("done", "done", "rejected"),
        ]
    for more in (["--format", form], ["--failed"]):
        assert await asyncio.to_thread(ended, ["status", journal, *more], out=out) == (1, f"{told}\n")


class Broken:
    """A stream whose writes fail."""

    def __init__(self, file: Any) -> None:
        self.fileno = file.fileno

    def write(self, _: str) -> int:
        """Fail."""
        raise OSError(errno.EIO, "Input/output error")

    def flush(self) -> None:
        """Fail."""
        raise OSError(errno.EIO, "Input/output error")


@pytest.mark.parametrize("use", [lambda one: one.write("text"), lambda one: one.flush()])
def test_standard_error_that_cannot_be_written_stops_nothing(tmp_path: Path, use: Callable[[Any], object]) -> None:
    """A terminal that went away takes its notes with it, and nothing else."""
    with (tmp_path / "file").open("w") as file:
        use(Output(Broken(file), quiet=True))  # type: ignore[arg-type]  # all that is used of a stream
        with pytest.raises(OutputLost, match="standard output cannot be written: Input/output error"):
            use(Output(Broken(file)))  # type: ignore[arg-type]  # the same


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_a_stream_that_is_not_utf_8_gets_what_it_can_show(encoding: str) -> None:
    """A key in another script ends no summary."""
    held = io.BytesIO()
    with io.TextIOWrapper(held, encoding=encoding) as file:
        stream = Output(file)
        stream.write("key 日本 \ufffd done\n")
        stream.flush()
        assert held.getvalue() == b"key \\u65e5\\u672c \\ufffd done\n"


def test_a_stream_that_was_never_there_is_told_when_it_is_needed() -> None:
    """Trying whether it takes bytes, or nothing, is no need."""
    with closing(Output(None)) as stream:
        with pytest.raises(TypeError):
            stream.write(b"")  # type: ignore[arg-type]  # that is the point
        assert stream.write("") == 0
        with pytest.raises(OutputLost, match="it is closed"):
            stream.write("text")
    with closing(Output(None, quiet=True)) as stream:
        assert stream.write("text") == 4


async def test_a_terminal_that_goes_away_loses_no_record(tmp_path: Path) -> None:
    """The run stops in order, and every record has its line in the file of results."""
    ids = [str(number) for number in range(200)]
    (tmp_path / "in.txt").write_text("\n".join(ids) + "\n")
    async with Sandbox(latency=0.1) as sandbox:
        sandbox.ocamba.seed_campaigns(ids)
        environment = ENVIRONMENT | sandbox.settings_env() | {"PYTHONPATH": os.pathsep.join(sys.path)}
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(tmp_path)
            os.execve(  # noqa: S606 ours
                sys.executable, [*COMMAND, "cancel-campaigns", "in.txt", "--yes", "--output", "out.jsonl"], environment
            )
        while len(sandbox.requests) < 15:
            os.set_blocking(terminal, False)
            with suppress(BlockingIOError):
                os.read(terminal, 65536)
            await asyncio.sleep(0.05)
        os.close(terminal)
        code = await asyncio.to_thread(lambda: os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
        cancelled = {one.id for one in sandbox.ocamba.campaigns.values() if one.status == "canceled"}
    assert code == 130
    assert len(lines) == 200
    assert {line["key"] for line in lines if line["status"] == "done"} == cancelled
    assert len(cancelled) < 200


PYTHON_ONLY = re.compile(r"base_url|http_session|\w+=(?!\d)|create_default_context|aiohttp")


@pytest.mark.parametrize("form", ["table", "json"])
def test_what_a_command_advises_is_what_a_command_can_do(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """Options and variables, and no arguments of Python's."""
    monkeypatch.setenv("OCAMBA_BASE_URL", "http://127.0.0.1:9")
    result = scene.give("cancel-campaigns", campaigns(scene, 9), "--yes", "--format", form)
    assert result.exit_code == 1, result.output
    assert "check OCAMBA_BASE_URL and its port" in result.stdout
    assert "give --proxy http://host:port" in result.stdout
    assert PYTHON_ONLY.findall(result.stdout) == []


def test_every_advice_has_its_words_for_commands() -> None:
    """What the library says to who writes Python is known to the command line, word for word."""
    from omeda_async import _failures  # noqa: PLC0415 private words

    for words in (_failures._BY_A_PROXY, _failures._CHECK_PROXY, _failures._CHECK_PROXY_URL, _failures._OWN_AUTHORITY):
        error = ConnectionFailed(words, provider="ocamba")
        assert PYTHON_ONLY.findall(advice(error)) == [], words


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A pipe with a name that somebody has opened, and does not read; a few lines fill it."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4096)
    yield path, reader
    os.close(reader)


def test_results_that_nobody_reads_keep_no_signal_from_stopping_a_run(scene: Scene, pipe: tuple[Path, int]) -> None:
    """The first stops what is sent, the second what is waited for; the summary comes, and says what is missing."""
    scene.timers += [(60, partial(send, signal.SIGTERM)), (90, partial(send, signal.SIGTERM))]
    result = scene.give("cancel-campaigns", campaigns(scene), "--yes", "--output", pipe[0], "--format", "json")
    assert result.exit_code == 130, result.output
    found = json.loads(result.stdout)
    assert found["counts"].keys() == {"done", "not_sent"}
    assert found["failure"] == f"{pipe[0]} cannot be written: nobody has read it to its end"
    assert "Stopping: what is on its way may end." in result.stderr
    assert "not every outcome is in that file" in result.stderr


def test_results_that_nobody_reads_are_told_of_where_all_is_done(scene: Scene, pipe: tuple[Path, int]) -> None:
    """It was called stopped, and what was not written was not told."""
    file = scene.file("in.csv", "email\n" + "".join(f"a{number}@x.com\n" for number in range(100)))
    scene.timers += [(60, partial(send, signal.SIGTERM)), (90, partial(send, signal.SIGTERM))]
    result = scene.give("opt-out", file, "--yes", "--output", pipe[0], "--journal", scene.directory / "run.sqlite3")
    assert result.exit_code == 1, result.output
    assert "done 100" in " ".join(result.stdout.split())
    assert "Stopped before the end" not in result.output
    assert f"Error: {pipe[0]} cannot be written: nobody has read it to its end." in result.stderr


def test_a_run_without_an_outcome_tells_of_an_output_that_cannot_be_written(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Broken off before any came, the heading was the first that was written: it met a traceback, and no summary."""

    async def broken_off(_: Order, run: BulkRun, *_others: object) -> None:
        await run.aclose()

    monkeypatch.setattr(_sending, "_drained", broken_off)
    output = scene.directory / "full.csv"
    output.symlink_to("/dev/full")
    result = scene.give("cancel-campaigns", campaigns(scene), "--yes", "--output", output, "--format", "json")
    assert result.exit_code == 1, result.output
    assert json.loads(result.stdout)["failure"] == f"{output} cannot be written: No space left on device"


def test_results_in_a_file_that_was_removed_meanwhile_are_told_of(scene: Scene) -> None:
    """They were gone, and the exit was 0."""
    output = scene.directory / "out.jsonl"
    scene.timers += [(1.0, output.unlink)]
    result = scene.give("cancel-campaigns", campaigns(scene), "--yes", "--output", output)
    assert result.exit_code == 1, result.output
    assert "done 100" in " ".join(result.stdout.split())
    assert f"Error: {output} cannot be written: it was removed meanwhile." in result.stderr


def test_results_that_are_read_slowly_come_whole(scene: Scene, pipe: tuple[Path, int]) -> None:
    """The run waits for the reader, and for nothing else."""
    found = b""

    def read() -> None:
        nonlocal found
        with suppress(BlockingIOError):
            found += os.read(pipe[1], 1000)

    scene.timers += [(second, read) for second in range(1, 200)]
    result = scene.give("cancel-campaigns", campaigns(scene), "--yes", "--output", pipe[0])
    assert result.exit_code == 0, result.output
    while more := os.read(pipe[1], 65536):
        found += more
    assert {json.loads(line)["key"] for line in found.splitlines()} == {str(number) for number in range(100)}


def test_a_pipe_that_nobody_opens_is_waited_for_until_a_signal(scene: Scene) -> None:
    """Nothing is sent before somebody does."""
    path = scene.directory / "pipe"
    os.mkfifo(path)
    impatient = threading.Timer(0.3, send, [signal.SIGTERM])
    impatient.start()
    result = scene.give("cancel-campaigns", campaigns(scene, 1), "--yes", "--output", path)
    impatient.join()
    assert result.exit_code == 130
    assert "nothing was sent" in result.stderr
    assert scene.sandbox.requests == []


HELD_UP = """
import asyncio, os, signal
from omeda_async.cli._signals import handle_signals
async def main():
    handle_signals(lambda: None)
    for _ in range(3):
        os.kill(os.getpid(), signal.SIGTERM)
    os._exit(0)
asyncio.run(main())
"""


def test_signals_end_a_process_whose_loop_is_held_up() -> None:
    """By standard error that nobody reads, for instance: the third one asks nobody any more."""
    environment = ENVIRONMENT | {"PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", HELD_UP], env=environment, check=False).returncode == 130  # noqa: S603 ours


def locked(journal: Path) -> None:
    """Hold a journal's write lock for as long as the process lives."""
    connection = sqlite3.connect(journal, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    HELD.append(connection)


def after_requests(scene: Scene, count: int, what: Callable[[], object]) -> None:
    """Have something happen once so many requests have arrived."""
    left = iter(range(count - 1, -1, -1))
    scene.sandbox.fault(Fault("500", match=lambda _: next(left, None) == 0 and bool(what())))


HELD: list[sqlite3.Connection] = []


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody wait for a lock for long."""
    monkeypatch.setattr("omeda_async.bulk.journal.sqlite_connection.BUSY_SECONDS", 0.05)


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("form", ["table", "json"])
def test_a_journal_that_fails_on_the_way_is_exit_3_with_the_usual_summary(scene: Scene, form: str) -> None:
    """Counts, cause and what to do; what was sent is not denied, and the same command goes on."""
    journal, output = scene.directory / "run.sqlite3", scene.directory / "out.jsonl"
    file = campaigns(scene, 40)
    after_requests(scene, 12, lambda: locked(journal))
    command = ("cancel-campaigns", file, "--yes", "--journal", journal, "--output", output, "--format", form)
    try:
        result = scene.give(*command)
    finally:
        HELD.pop().close()
    done = [one for one in scene.sandbox.ocamba.campaigns.values() if one.status == "canceled"]
    assert result.exit_code == 3, result.output
    assert 10 <= len(done) < 40
    assert "database is locked" in result.stdout
    assert "give the same command again" in result.stderr
    if form == "json":
        found = json.loads(result.stdout)
        assert found["counts"] == {"done": len(done), "not_sent": 40 - len(done)}
        assert "database is locked" in found["failure"]
    assert [line["status"] for line in scene.lines(output)].count("done") == len(done)
    again = scene.give(*command)
    assert again.exit_code == 0, again.output
    assert all(one.cancels == 1 for one in scene.sandbox.ocamba.campaigns.values())


@pytest.mark.usefixtures("hurried")
def test_a_journal_that_fails_before_anything_is_sent_is_exit_2(scene: Scene) -> None:
    """That is what exit 2 stands for."""
    journal = scene.directory / "run.sqlite3"
    file = campaigns(scene, 1)
    assert scene.give("cancel-campaigns", file, "--yes", "--journal", journal).exit_code == 0
    sent = len(scene.sandbox.requests)
    locked(journal)
    try:
        result = scene.give("cancel-campaigns", file, "--yes", "--journal", journal)
    finally:
        HELD.pop().close()
    assert (result.exit_code, result.stdout) == (2, "")
    assert "cannot be used: database is locked" in result.stderr
    assert len(scene.sandbox.requests) == sent


def test_a_sandbox_outlives_the_terminal_that_nohup_took_it_from() -> None:
    """What it was started to ignore does not stop it; SIGTERM does."""

    def ignore() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    environment = ENVIRONMENT | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(  # noqa: S603 ours
        [*COMMAND, "sandbox", "--port", "0"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        preexec_fn=ignore,  # noqa: PLW1509 no thread of this process holds a lock it needs
    ) as process:
        assert process.stderr is not None
        told = process.stderr.readline()
        assert "until Ctrl-C; look on at http://127.0.0.1:" in told
        assert told.endswith("/\n")
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        assert "stopped." in process.stderr.read()
    assert process.returncode == 0


AROUND = """
import atexit, os, signal, sys
from omeda_async import __main__, cli
def send():
    os.kill(os.getpid(), signal.{number})
{when}
sys.argv = ["omeda-async", "--version"]
__main__.main()
"""


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM", "SIGHUP"])
@pytest.mark.parametrize(
    ("when", "code"),
    [("atexit.register(send)", 0), ("cli.app = send", 130), ("cli.app = lambda: sys.exit(send())", 130)],
)
def test_a_signal_beside_a_command_leaves_no_trace(number: str, when: str, code: int) -> None:
    """While the process ends the exit code stands; before, it is that of what is interrupted."""
    run = subprocess.run(  # noqa: S603 ours
        [sys.executable, "-c", AROUND.format(number=number, when=when)],
        capture_output=True,
        text=True,
        env=ENVIRONMENT | {"PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert (run.returncode, run.stderr) == (code, "")


def test_a_wrong_word_is_shown_without_what_turns_its_direction() -> None:
    """Also where the framework complains, which shows it as it was given."""
    for arguments in (["--x\u202ey"], ["cancel-campaigns", "f", "--format", "a\u2066b"], ["no\u202esuch"]):
        run = subprocess.run(  # noqa: S603 ours
            [*COMMAND, *arguments],
            capture_output=True,
            text=True,
            env=ENVIRONMENT | {"PYTHONPATH": os.pathsep.join(sys.path)},
            check=False,
        )
        assert run.returncode == 2
        assert not {"\u202e", "\u2066"} & {*run.stderr, *run.stdout}


def test_a_signal_that_came_too_late_to_stop_anything_interrupts_nothing(scene: Scene) -> None:
    """What was on its way has ended, and nothing was left: all is done, and said to be."""
    scene.sandbox.fault(Fault("slow", "after", seconds=2.0))
    scene.timers.append((1.0, partial(send, signal.SIGTERM)))
    result = scene.give("cancel-campaigns", campaigns(scene, 1), "--yes", "--format", "json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["interrupted"], found["counts"], found["complete"]) == (False, {"done": 1}, True)
