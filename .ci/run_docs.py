"""Run the code blocks of the given documents.

- ``python``: a script of its own, in an empty folder.
- ``py``: a fragment. It has to be valid Python.
- ``sh`` and ``bash``: valid, too. Where a document says ``<!-- run: shell -->``, its ``sh`` blocks are run one after
  the other in one shell, and a ``text`` block after one is what it prints: ``…`` stands for anything, and any blanks
  for one.

Every block names its language, so that none is passed over, and at least one must run, or this check would check
nothing.
"""

import ast
import contextlib
import itertools
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

FENCED = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHELL = "<!-- run: shell -->"
ENDED = "=== a block has ended ==="
SECONDS = 60


class Block(NamedTuple):
    """A fenced block, and the line it stands in."""

    line: int
    language: str
    code: str


def documents(names: list[str]) -> list[Path]:
    """Return the Markdown files named, and those in the folders named."""
    found: list[Path] = []
    for name in names:
        path = Path(name)
        found += sorted(path.rglob("*.md")) if path.is_dir() else [path]
    return found


def run(name: str, code: str) -> tuple[int, str]:
    """Run a script in an empty folder; return how it ended, and what it printed."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / name
        script.write_text(code, "utf-8")
        command = [sys.executable, "-W", "error"] if name.endswith(".py") else ["bash", "-u"]
        with (
            tempfile.TemporaryFile(
                "w+", encoding="utf-8"
            ) as printed,  # no pipe: it would wait for what is left running
            subprocess.Popen(
                [*command, str(script)],
                cwd=folder,
                env=os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            ) as process,
        ):
            try:
                process.wait(SECONDS)
                late = ""
            except subprocess.TimeoutExpired:
                late = f"\nnot over after {SECONDS} seconds\n"
            finally:
                end_all(process)
            printed.seek(0)
            return process.returncode, printed.read() + late


def end_all(process: subprocess.Popen[bytes]) -> None:
    """End a script, and all that it has started and left running."""
    with contextlib.suppress(ProcessLookupError):  # nothing is left of its group
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def trouble_of(block: Block) -> str | None:
    """Return what is wrong with a block that stands for itself."""
    if not block.language:
        return "name its language: python, py, sh, bash, or text where it is no program"
    if block.language == "python":
        code, printed = run("block.py", block.code)
        return printed or f"exit code {code}" if code else None
    if block.language == "py":
        try:
            compile(block.code, "block", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT | ast.PyCF_ONLY_AST)
        except SyntaxError as error:
            return str(error)
    elif block.language in {"sh", "bash"}:
        done = subprocess.run(["bash", "-n"], input=block.code, capture_output=True, text=True, check=False)  # noqa: S607 found as the shebangs find it
        return done.stderr or None
    return None


def pattern_of(text: str) -> re.Pattern[str]:
    """Return what printed words have to match."""
    return re.compile(".*".join(re.escape(part) for part in " ".join(text.split()).split("…")))


def troubles_in_shell(blocks: list[Block]) -> Iterator[tuple[Block, str | None]]:
    """Run ``sh`` blocks in one shell, and compare what they print with the ``text`` blocks after them."""
    steps = [block for block in blocks if block.language == "sh"]
    expected = {before: block.code for before, block in itertools.pairwise(blocks) if block.language == "text"}
    end = "trap 'kill $(jobs -p) 2>/dev/null' EXIT\n"
    _, printed = run("blocks", end + "".join(f"{step.code}\necho '{ENDED}'\n" for step in steps))
    parts = printed.split(f"{ENDED}\n")
    for step, part in zip(steps, [*parts, *[""] * len(steps)], strict=False):
        wanted = expected.get(step, "")
        ok = pattern_of(wanted).fullmatch(" ".join(part.split()))
        yield step, None if ok else f"printed:\n{part}\nand not:\n{wanted}"


def troubles(path: Path) -> Iterator[tuple[Block, str | None]]:
    """Check all blocks of a document; yield each that was run or read, with what is wrong with it."""
    text = path.read_text("utf-8")
    blocks = [Block(text.count("\n", 0, one.start()) + 1, one[1], one[2]) for one in FENCED.finditer(text)]
    in_shell = SHELL in text
    for block in blocks:
        if block.language in {"", "python", "py", "bash"} or (block.language == "sh" and not in_shell):
            yield block, trouble_of(block)
    if in_shell:
        yield from troubles_in_shell(blocks)


def main() -> int:
    """Check all documents; 0 when some block was run and all are well."""
    ran, failed = 0, 0
    for path in documents(sys.argv[1:]):
        for block, trouble in troubles(path):
            ran += block.language in {"python", "sh"}
            failed += trouble is not None
            print(f"{'FAILED' if trouble else 'ok    '} {path}:{block.line} {block.language}")
            if trouble:
                print(trouble)
    print(f"{ran} run, {failed} failed")
    return 0 if ran and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
