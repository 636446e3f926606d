"""Rows of a file as records for a bulk run: CSV or a workbook with a header row, JSON, or one id a line.

A row is converted when the run reads it. One that cannot be converted becomes the outcome of that row, with the
column and the reason, and the rest goes on. What is wrong with the file as a whole is said before anything is sent.
"""

import typing

from omeda_async._row import Row
from omeda_async.rows._kinds import CAMPAIGNS, DEPLOYMENTS, OPT_OUTS, TRANSACTIONS, RowKind

if typing.TYPE_CHECKING:
    from omeda_async.rows._file import RowFile

__all__ = ["CAMPAIGNS", "DEPLOYMENTS", "OPT_OUTS", "TRANSACTIONS", "Row", "RowFile", "RowKind"]


if not typing.TYPE_CHECKING:  # who asks for help reads no file

    def __getattr__(name: str) -> object:
        if name == "RowFile":
            from omeda_async.rows._file import RowFile  # noqa: PLC0415 that is the point

            return RowFile
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
