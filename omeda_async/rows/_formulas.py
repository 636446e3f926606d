"""Cells that a spreadsheet would run as a formula: written behind an apostrophe, which takes it as text, read without.

Each undoes the other: a cell that begins with apostrophes before such a character gets and loses one as well.
"""

import re
from typing import Final

# Blanks and quotation marks before it do not make it a text everywhere, and a spreadsheet takes the wide and the small
# ones for the others.
_RUN: Final = re.compile("[\\s'\"\u200b\ufeff]*[=+\\-@＝＋－＠﹦﹢﹣﹫]|'*[\t\r\n]")  # noqa: RUF001 see above


def quoted(cell: str) -> str:
    """Return a cell as it is written."""
    return f"'{cell}" if _RUN.match(cell) else cell


def unquoted(cell: str) -> str:
    """Return a cell as it was before it was written."""
    return cell[1:] if cell[:1] == "'" and _RUN.match(cell) else cell
