"""Standard output and standard error as a process has them: a full disk, a closed pipe, a terminal that went away."""

import os
import sys
from typing import Any, TextIO


class OutputLost(Exception):
    """Standard output cannot be written any more; the message says why."""


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

    def write(self, text: str) -> int:
        """Write as the stream does."""
        if not isinstance(text, str):  # as a library tries, to see whether bytes will do
            raise TypeError("a stream of text takes no bytes")
        if not text:
            return 0
        if self._closed:
            self._lose("it is closed")
        try:
            return self._file.write(text)
        except OSError as problem:
            self._lose(problem.strerror)
            return len(text)

    def flush(self) -> None:
        """Flush as the stream does."""
        try:
            self._file.flush()
        except OSError as problem:
            self._lose(problem.strerror)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def _lose(self, reason: str | None) -> None:
        if not self._closed:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._file.fileno())  # what waits in buffers is not to fail once more at the very end
            os.close(nowhere)
        self._closed = False
        if not self._quiet:
            raise OutputLost(f"standard output cannot be written: {reason}") from None


def guard_streams() -> None:
    """Have the failure of standard output raise ``OutputLost``, and that of standard error ignored."""
    sys.stdout = Output(sys.stdout)
    sys.stderr = Output(sys.stderr, quiet=True)
