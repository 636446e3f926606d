"""Make ``docs/demo.svg``: run ``omeda-async demo`` on a pseudo-terminal, and draw what stands there at its end."""

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

COLUMNS = 100
AGAIN = re.compile(r"(?:\x1b\[2K(?:\x1b\[1A)?)+")
"""What the bars are drawn over with."""
FONTS = re.compile(r"@font-face \{.*?\}", re.DOTALL)
"""What would be loaded from elsewhere."""


def shown() -> str:
    """Run the demo; return all that it has written to its terminal."""
    outside, inside = pty.openpty()
    fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 40, COLUMNS, 0, 0))
    environment = os.environ | {"TERM": "xterm-256color"}
    command = [sys.executable, "-m", "omeda_async", "demo"]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(command, cwd=folder, stdin=inside, stdout=inside, stderr=inside, env=environment) as process,  # noqa: S603 ours
    ):
        os.close(inside)
        seen = bytearray()
        try:
            while more := os.read(outside, 65536):
                seen += more
        except OSError:  # it has ended
            pass
    if process.returncode != 0:
        sys.exit(f"the demo ended with {process.returncode}")
    return seen.decode().replace("\r\n", "\n").replace("\r", "")


def at_the_end(seen: str) -> str:
    """Return what stands on the screen at the end: of the bars the last state only."""
    before, *states = AGAIN.split(seen)
    first = before.partition("\n")[0]
    return f"\x1b[32m$\x1b[0m omeda-async demo\n{first}\n{states[-1]}" if states else seen


def main() -> None:
    """Draw it."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    console.print(Text.from_ansi(at_the_end(shown())))
    picture = FONTS.sub("", console.export_svg(title="omeda-async demo", theme=MONOKAI)).replace("Fira Code", "Menlo")
    lines = (line.rstrip() for line in picture.splitlines())
    Path(__file__).with_name("demo.svg").write_text("\n".join(filter(None, lines)) + "\n", "utf-8")


if __name__ == "__main__":
    main()
