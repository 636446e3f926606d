"""The way in for ``omeda-async`` and ``python -m omeda_async``."""

import signal
import sys

NEEDED = ("typer", "rich")


def main() -> None:
    """Run the command line; without the packages it needs, say how to get them and exit with 2."""
    try:
        import rich  # noqa: F401, PLC0415 it comes with an extra, as typer does; no command is to find that out halfway

        from omeda_async.cli import _process, app  # noqa: PLC0415 the same
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] not in NEEDED:
            raise
        sys.stderr.write(f"The command line needs the package {missing.name!r}: pip install 'omeda-async[cli]'\n")
        sys.exit(2)
    _process.guard_streams()
    _process.handle(_process.leave)
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except _process.OutputLost as lost:
        sys.stderr.write(f"Error: {lost}\n" if str(lost) else "")
        sys.exit(1)
    finally:
        _process.handle(signal.SIG_IGN)  # it has ended, and its exit code stands


if __name__ == "__main__":
    main()
