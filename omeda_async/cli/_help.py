"""Help that cuts nothing: in boxes where there is room for them, else in lines that are wrapped at blanks."""

import shutil
from typing import Any

from typer.core import TyperCommand, TyperGroup

from omeda_async.cli._examples import EXAMPLES
from omeda_async.cli._process import may_be_read_in_part

ROOM = 80
"""Columns below which a box would cut the names of options."""


class Command(TyperCommand):
    """A command with such help, and with examples at its end."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help of the command."""
        may_be_read_in_part()
        self.rich_markup_mode = _mode()
        super().format_help(ctx, formatter)
        lines = "".join(f"  {one}\n" for one in EXAMPLES.get(self.name or "", ()))
        formatter.write(f"\nExamples:\n{lines}")


class Group(TyperGroup):
    """Commands with such help."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help of the program."""
        may_be_read_in_part()
        self.rich_markup_mode = _mode()
        super().format_help(ctx, formatter)


def _mode() -> Any:
    return "rich" if shutil.get_terminal_size().columns >= ROOM else None
