"""Run every ``python`` code block of the given documents, each as a script of its own.

A block that only shows a fragment is fenced as ``py``; a block that needs a name the reader would have is not a
script, and is fenced as ``py`` too. At least one block must run, or this check would check nothing.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
SECONDS = 60


def documents(names: list[str]) -> list[Path]:
    """Return the Markdown files named, and those in the folders named."""
    found: list[Path] = []
    for name in names:
        path = Path(name)
        found += sorted(path.rglob("*.md")) if path.is_dir() else [path]
    return found


def run(path: Path, line: int, code: str) -> bool:
    """Run one block in an empty folder; tell whether it ended well."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "block.py"
        script.write_text(code)
        done = subprocess.run(
            [sys.executable, "-W", "error", str(script)],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    print(f"{'ok    ' if done.returncode == 0 else 'FAILED'} {path}:{line}")
    if done.returncode != 0:
        print(done.stdout, done.stderr, sep="\n")
    return done.returncode == 0


def main() -> int:
    """Run all blocks; 0 when there were some and all ended well."""
    results = [
        run(path, text[: match.start()].count("\n") + 1, match[1])
        for path in documents(sys.argv[1:])
        for text in [path.read_text()]
        for match in BLOCK.finditer(text)
    ]
    print(f"{sum(results)} passed, {len(results) - sum(results)} failed")
    return 0 if results and all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
