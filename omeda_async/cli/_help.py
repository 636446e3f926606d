"""Help that cuts nothing: in boxes where there is room for them, else in lines that are wrapped at blanks."""

import shutil
from typing import Any, Final

from typer.core import TyperCommand, TyperGroup

from omeda_async.cli._process import may_be_read_in_part

ROOM = 80
"""Columns below which a box would cut the names of options."""
EXAMPLES: Final = {
    "opt-out": (
        "omeda-async opt-out readers.csv --plan",
        "omeda-async opt-out readers.csv --journal run.sqlite3",
        "omeda-async opt-out export.xlsx --column email_address=Contact --ignore-other-columns",
    ),
    "cancel-deployments": (
        "omeda-async cancel-deployments deployments.csv --user-id omailAccount1 --plan",
        "omeda-async cancel-deployments deployments.csv --journal run.sqlite3 --output results.jsonl",
    ),
    "cancel-campaigns": (
        'omeda-async cancel-campaigns ids.txt --reason "wrong audience" --plan',
        'omeda-async cancel-campaigns ids.txt --reason "wrong audience" --journal run.sqlite3',
        "cut -d, -f1 export.csv | omeda-async cancel-campaigns - --yes --share-limits /run/omeda",
    ),
    "cancel-transactions": (
        'omeda-async cancel-transactions keys.txt --reason "completed in branch" --plan',
        "omeda-async cancel-transactions keys.csv --journal run.sqlite3 --format json --yes",
    ),
    "status": (
        "omeda-async status run.sqlite3",
        "omeda-async status run.sqlite3 --failed --only failed --only not_sent --output again.csv",
        "omeda-async status 'postgresql://db.example.com/jobs?run=spring'",
    ),
    "worker": (
        "omeda-async worker postgresql://db.example.com/jobs",
        "omeda-async worker postgresql://db.example.com/jobs --share-limits redis://cache.example.com",
    ),
    "cancel-run": ("omeda-async cancel-run 'postgresql://db.example.com/jobs?run=spring'",),
    "demo": ("omeda-async demo", "omeda-async demo --journal /tmp/demo"),
    "sandbox": (
        "omeda-async sandbox --demo-data input > sandbox.env",
        "omeda-async sandbox --fault 'drop,after,match=campaigns.cancel,times=3' --latency 0.05",
    ),
}
"""Lines that work, once the files and settings are there, by the command whose help ends with them."""


class Command(TyperCommand):
    """A command with such help, and with examples at its end."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help of the command."""
        _prepare(self, ctx)
        super().format_help(ctx, formatter)
        lines = "".join(f"  {one}\n" for one in EXAMPLES.get(self.name or "", ()))
        formatter.write(f"\nExamples:\n{lines}")


class Group(TyperGroup):
    """Commands with such help."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help of the program."""
        _prepare(self, ctx)
        super().format_help(ctx, formatter)


def _prepare(command: TyperCommand | TyperGroup, ctx: Any) -> None:
    may_be_read_in_part()
    has_room = shutil.get_terminal_size().columns >= ROOM
    command.rich_markup_mode = "rich" if has_room else None
    for option in command.get_params(ctx):
        if getattr(option, "is_flag", False):
            option.metavar = ""  # else <bool> stands beside its name, as if it took a value
