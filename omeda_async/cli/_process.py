"""What a process has around a command: streams that may be full, closed or gone, and signals at any moment."""

import errno
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from typing import Any, TextIO

SIGNALS = tuple(signal.Signals[name] for name in ("SIGINT", "SIGTERM", "SIGHUP") if name in signal.Signals.__members__)
HIDDEN = dict.fromkeys(map(ord, "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"), "\ufffd")
"""What turns the direction of a text, wherever it comes from: no note needs it."""
INTERRUPTED = 130
"""The exit code of whatever a signal has ended."""


class OutputLost(Exception):
    """Standard output cannot be written any more; the message says why, and is empty where nobody needs to know."""


class Output:
    """A stream whose failure is told once, as an error of ours or not at all; what follows goes nowhere.

    Args:
        file: The stream; None where the process was started without it.
        quiet: Whether the program goes on without it.
    """

    def __init__(self, file: TextIO | None, *, quiet: bool = False) -> None:
        self._closed = file is None
        self._file = file or open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 as long as the process
        self._quiet = quiet
        self._in_part = False

    def may_be_read_in_part(self) -> None:
        """Say nothing from now on where a reader goes who has seen enough, as of help."""
        self._in_part = True

    def write(self, text: str) -> int:
        """Write as the stream does."""
        if not isinstance(text, str):  # as a library tries, to see whether bytes will do
            raise TypeError("a stream of text takes no bytes")
        if not text:
            return 0
        if self._quiet and not text.isascii():
            text = text.translate(HIDDEN)
        if self._closed:
            self._lose("it is closed")
        try:
            return self._file.write(text)
        except UnicodeEncodeError:  # a terminal or a pipe that is not UTF-8 gets what it can show
            encoding = self._file.encoding
            return self._file.write(text.encode(encoding, "backslashreplace").decode(encoding))
        except OSError as problem:
            self._lose(problem.strerror, problem.errno)
            return len(text)

    def flush(self) -> None:
        """Flush as the stream does."""
        try:
            self._file.flush()
        except OSError as problem:
            self._lose(problem.strerror, problem.errno)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def _lose(self, reason: str | None, number: int | None = None) -> None:
        if not self._closed:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._file.fileno())  # what waits in buffers is not to fail once more at the very end
            os.close(nowhere)
        self._closed = False
        if not self._quiet:
            enough = self._in_part and number == errno.EPIPE
            raise OutputLost("" if enough else f"standard output cannot be written: {reason}") from None


def may_be_read_in_part() -> None:
    """Let a reader of standard output go who has seen enough: what is written now is no result."""
    if isinstance(sys.stdout, Output):
        sys.stdout.may_be_read_in_part()


def guard_streams() -> None:
    """Have the failure of standard output raise ``OutputLost``, and that of standard error ignored."""
    sys.stdout = Output(sys.stdout)
    sys.stderr = Output(sys.stderr, quiet=True)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let every signal raise KeyboardInterrupt, but those that the process was started to ignore."""
    before = handle(_interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


def handle(handler: Callable[..., object] | signal.Handlers) -> dict[signal.Signals, Any]:
    """Set what handles signals, but those that the process was started to ignore; return what did before."""
    if current_thread() is not main_thread():  # signals are the main thread's
        return {}
    before = {number: signal.getsignal(number) for number in SIGNALS}
    wanted = {number: one for number, one in before.items() if one is not signal.SIG_IGN}
    for number in wanted:
        signal.signal(number, handler)
    return wanted


def leave(*_: object) -> None:
    """End the process at once; what a command writes is written line by line."""
    os._exit(INTERRUPTED)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
