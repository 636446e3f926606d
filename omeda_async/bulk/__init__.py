"""Bulk runs: any number of records in, one outcome for each out. It knows operations and batches, and no provider."""

from omeda_async.bulk._coalesce import Batcher
from omeda_async.bulk._isolate import Evidence, Group, Isolation, Part
from omeda_async.bulk._records import Desk, Item, OneByOne, Records, Work, fingerprint, in_vain, not_sent
from omeda_async.bulk._run import BulkOptions, BulkRun, Runs

__all__ = [
    "Batcher",
    "BulkOptions",
    "BulkRun",
    "Desk",
    "Evidence",
    "Group",
    "Isolation",
    "Item",
    "OneByOne",
    "Part",
    "Records",
    "Runs",
    "Work",
    "fingerprint",
    "in_vain",
    "not_sent",
]
