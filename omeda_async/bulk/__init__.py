"""Bulk runs: any number of records in, one outcome for each out. It knows operations and batches, and no provider."""

from omeda_async.bulk._batcher import MAX_WAITING, Batcher
from omeda_async.bulk._batcher_view import BatcherView
from omeda_async.bulk._chunks import Size, Sizes, size_of
from omeda_async.bulk._common_cause import CommonCause
from omeda_async.bulk._isolate import Evidence, Group, Isolation, Part
from omeda_async.bulk._item import Item, Records, fingerprint, in_vain, not_sent
from omeda_async.bulk._job import Job, Work
from omeda_async.bulk._one_by_one import OneByOne
from omeda_async.bulk._options import OutboxOptions, SharedOptions
from omeda_async.bulk._run import BulkOptions, BulkRun

__all__ = [
    "MAX_WAITING",
    "Batcher",
    "BatcherView",
    "BulkOptions",
    "BulkRun",
    "CommonCause",
    "Evidence",
    "Group",
    "Isolation",
    "Item",
    "Job",
    "OneByOne",
    "OutboxOptions",
    "Part",
    "Records",
    "SharedOptions",
    "Size",
    "Sizes",
    "Work",
    "fingerprint",
    "in_vain",
    "not_sent",
    "size_of",
]
