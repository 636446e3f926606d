"""The way in for ``omeda-async`` and ``python -m omeda_async``."""

import sys

NEEDED = ("typer", "rich")


def main() -> None:
    """Run the command line; without the packages it needs, say how to get them and exit with 2."""
    try:
        from omeda_async.cli import app  # noqa: PLC0415 typer and rich come with an extra
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] not in NEEDED:
            raise
        sys.stderr.write(f"The command line needs the package {missing.name!r}: pip install 'omeda-async[cli]'\n")
        sys.exit(2)
    app()


if __name__ == "__main__":
    main()
