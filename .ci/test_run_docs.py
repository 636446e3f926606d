"""What the check of code blocks does with one that does not end, and with what one leaves running.

.ci/run docs
"""

import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import run_docs

CHILD = """\
import subprocess, sys
child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])
child.returncode = 0  # it is left running
"""


def is_there(number: int) -> bool:
    """Whether a process runs; one that has ended, and that nobody has asked for, does not."""
    try:
        return ") Z " not in Path(f"/proc/{number}/stat").read_text()
    except FileNotFoundError:
        return False


def gone(number: int) -> bool:
    """Whether a process ends, soon."""
    for _ in range(100):
        if not is_there(number):
            return True
        time.sleep(0.05)
    return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="it looks into /proc")
@pytest.mark.parametrize(("code", "more"), [(0, ""), (-9, "import time\ntime.sleep(600)\n")])
def test_nothing_of_a_block_is_left_running(monkeypatch: pytest.MonkeyPatch, code: int, more: str) -> None:
    """Neither after its end nor when it takes too long, which is said after what it has printed."""
    monkeypatch.setattr(run_docs, "SECONDS", 2)
    ended, printed = run_docs.run("block.py", f"{CHILD}print(child.pid, flush=True)\n{more}")
    number, *said = printed.splitlines()
    assert ended == code
    assert said == (["", "not over after 2 seconds"] if more else [])
    assert gone(int(number))


def test_a_block_without_a_language_is_refused(tmp_path: Path) -> None:
    """It may be a program that nobody has run."""
    path = tmp_path / "page.md"
    path.write_text("```\nls\n```\n```text\nls\n```\n")
    ((block, trouble),) = run_docs.troubles(path)
    assert (block.line, trouble) == (1, "name its language: python, py, sh, bash, or text where it is no program")


def test_a_step_in_a_shell_that_does_not_end_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The steps before it are well."""
    monkeypatch.setattr(run_docs, "SECONDS", 2)
    path = tmp_path / "page.md"
    path.write_text(f"{run_docs.SHELL}\n```sh\necho hello\n```\n```text\nhello\n```\n```sh\nsleep 600\n```\n")
    (_, well), (_, trouble) = run_docs.troubles(path)
    assert well is None
    assert trouble is not None
    assert "not over after 2 seconds" in trouble
