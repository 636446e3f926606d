"""Rows of a text file as records for a bulk run: CSV with a header row, JSON Lines, or one id a line.

A row is converted when the run reads it. One that cannot be converted becomes the outcome of that row, with the
column and the reason, and the rest goes on. What is wrong with the file as a whole is said before anything is sent.
"""

from omeda_async._row import Row
from omeda_async.rows._file import RowFile
from omeda_async.rows._kinds import CAMPAIGNS, DEPLOYMENTS, OPT_OUTS, TRANSACTIONS, RowKind

__all__ = ["CAMPAIGNS", "DEPLOYMENTS", "OPT_OUTS", "TRANSACTIONS", "Row", "RowFile", "RowKind"]
