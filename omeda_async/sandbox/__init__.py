"""The three providers emulated on 127.0.0.1, with their rules, limits and faults.

Written from the providers' documents; it shares no code with the client that it checks.
"""

from omeda_async.sandbox._audit import RequestRecord
from omeda_async.sandbox._faults import Fault, FaultKind, FaultPoint
from omeda_async.sandbox._latency import Latency
from omeda_async.sandbox._message import Incoming
from omeda_async.sandbox._opt_outs import OptOut
from omeda_async.sandbox._sandbox import Sandbox, serve

__all__ = [
    "Fault",
    "FaultKind",
    "FaultPoint",
    "Incoming",
    "Latency",
    "OptOut",
    "RequestRecord",
    "Sandbox",
    "serve",
]
