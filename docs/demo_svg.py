"""Make ``docs/demo.svg``, a cast of the demo: run it on a pseudo-terminal, and draw what stands there in each second.

The picture moves by CSS alone. It is shown three times, and then as it is for those who want nothing to move: its end.
"""

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
import time
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Final, NamedTuple

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

COLUMNS: Final = 100
STEP: Final = 1.0
"""Seconds of the run from one frame to the next."""
FASTER: Final = 3
LONG: Final = 8.0
"""Seconds that the end stands."""
TITLE: Final = f"omeda-async demo, {FASTER} times as fast"
PROMPT: Final = "\x1b[32m$\x1b[0m omeda-async demo\n"
AGAIN: Final = re.compile(r"(?:\x1b\[2K(?:\x1b\[1A)?)+")
"""What the bars are drawn over with."""
FONTS: Final = re.compile(r"@font-face \{.*?\}", re.DOTALL)
"""What would be loaded from elsewhere."""
EMPTY: Final = re.compile(r"<text [^>]*>\s*</text>")
CLIPPED: Final = re.compile(r' clip-path="[^"]*"')
RULE: Final = re.compile(r"\.(demo-r\d+) (\{.*?\})")
STYLE: Final = """
.frame {{ visibility: hidden; }}
.end {{ visibility: visible; }}
@media (prefers-reduced-motion: no-preference) {{
  .frame {{ animation: frame {whole:.2f}s step-end 3; }}
  .end {{ animation-name: end; }}
}}
@keyframes frame {{ from {{ visibility: visible; }} {one:.3f}% {{ visibility: hidden; }} }}
@keyframes end {{ from {{ visibility: hidden; }} {end:.3f}% {{ visibility: visible; }} }}
"""


class Seen(NamedTuple):
    """What was written to a terminal, in pieces, and when each came, in seconds."""

    pieces: list[bytes]
    times: list[float]


def seen() -> Seen:
    """Run the demo; return all that it has written to its terminal."""
    outside, inside = pty.openpty()
    fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 40, COLUMNS, 0, 0))
    environment = os.environ | {"TERM": "xterm-256color"}
    command = [sys.executable, "-m", "omeda_async", "demo"]
    found = Seen([], [])
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(command, cwd=folder, stdin=inside, stdout=inside, stderr=inside, env=environment) as process,  # noqa: S603 ours
    ):
        os.close(inside)
        began = time.monotonic()
        try:
            while more := os.read(outside, 65536):
                found.pieces.append(more)
                found.times.append(time.monotonic() - began)
        except OSError:  # it has ended
            pass
    if process.returncode != 0:
        sys.exit(f"the demo ended with {process.returncode}")
    return found


def frames_of(found: Seen) -> list[str]:
    """Return what stood on the screen after each step, below the prompt; the last is its end."""
    text = b"".join(found.pieces).decode("latin-1")  # a character for each byte, so that places are those of pieces
    ends = [*accumulate(map(len, found.pieces))]
    places = [one.start() for one in AGAIN.finditer(text)] + [len(text)]
    times = [found.times[min(bisect_right(ends, place), len(ends) - 1)] for place in places]  # when each state was over
    before, *states = AGAIN.split(text)
    first = before.partition("\n")[0]
    states = [f"{first}\n{state}" for state in states]
    steps = [STEP * number for number in range(1, int(times[-1] / STEP))]
    over = [bisect_right(times, moment) - 1 for moment in steps]  # times[0] is when the first line was there
    shown = ["", *(states[count - 1] if count > 0 else first for count in over), states[-1]]
    return [one.encode("latin-1").decode().replace("\r", "") for one in shown]


class Styles(dict[str, str]):
    """The names of styles, by what they say: the same in all frames."""

    def __missing__(self, said: str) -> str:
        self[said] = f"s{len(self)}"
        return self[said]


def drawn(frames: Sequence[str]) -> str:
    """Draw frames as one picture that moves; the last one gives its size."""
    styles = Styles()
    frame = CONSOLE_SVG_FORMAT.replace("{lines}", "").replace("{styles}", "(styles)").replace("{matrix}", "(matrix)")
    around = _exported(PROMPT + frames[-1], frame)
    groups = [_group(PROMPT + one, "frame", number * STEP / FASTER, styles) for number, one in enumerate(frames[:-1])]
    groups.append(_group(PROMPT + frames[-1], "frame end", 0.0, styles))
    rules = "".join(f".{name} {said}\n" for said, name in styles.items())
    picture = around.replace("(styles)", rules + _moving(len(frames))).replace("(matrix)", "\n".join(groups))
    lines = (line.strip() for line in FONTS.sub("", picture).replace("Fira Code", "Menlo").splitlines())
    return "\n".join(filter(None, lines)) + "\n"


def _group(text: str, kind: str, begin: float, styles: Styles) -> str:
    """Draw one frame, which is seen from so many seconds on."""
    said, matrix = _exported(text, "{styles}\f{matrix}").split("\f")
    names = {name: styles[rule] for name, rule in RULE.findall(said)}
    matrix = re.sub(r"demo-r\d+", lambda one: names[one[0]], CLIPPED.sub("", EMPTY.sub("", matrix)))
    return f'<g class="{kind}" style="animation-delay: {begin:.2f}s">{matrix}</g>'


def _exported(text: str, form: str) -> str:
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    console.print(Text.from_ansi(text))
    return console.export_svg(title=TITLE, theme=MONOKAI, code_format=form, unique_id="demo")


def _moving(count: int) -> str:
    whole = (count - 1) * STEP / FASTER + LONG
    one = STEP / FASTER / whole * 100
    return STYLE.format(whole=whole, one=one, end=one * (count - 1))


def main() -> None:
    """Draw it."""
    Path(__file__).with_name("demo.svg").write_text(drawn(frames_of(seen())), "utf-8")


if __name__ == "__main__":
    main()
