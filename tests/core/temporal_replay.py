"""Histories of a workflow that performs chunks, and a replay of them: Temporal's own core checks each step, serverless.

The histories are made by hand, after those that a server keeps.
"""

import base64
import json
from collections import deque
from typing import Any

import attrs
from temporalio.client import WorkflowHistory
from temporalio.worker import (
    Interceptor,
    Replayer,
    StartActivityInput,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowOutboundInterceptor,
)

QUEUE = {"name": "cancels"}


@attrs.define
class History:
    """The events of a workflow, as JSON."""

    events: list[dict[str, Any]] = attrs.field(factory=list)

    def add(self, event: str, **attributes: Any) -> str:
        """Add an event, ``activityTaskStarted``; return its id."""
        kind = "".join(f"_{letter}" if letter.isupper() else letter.upper() for letter in event)
        number = str(len(self.events) + 1)
        made = {"eventId": number, "eventTime": "2026-01-01T00:00:00Z", "eventType": f"EVENT_TYPE_{kind}"}
        self.events.append(made | {f"{event}EventAttributes": attributes})
        return number

    def turn(self) -> str:
        """Let the workflow have a turn; return the id of its end, which what it then asks for names."""
        scheduled = self.add("workflowTaskScheduled", taskQueue=QUEUE, startToCloseTimeout="10s", attempt=1)
        started = self.add("workflowTaskStarted", scheduledEventId=scheduled)
        return self.add("workflowTaskCompleted", scheduledEventId=scheduled, startedEventId=started)

    def asked(self, chunk: int, turn: str) -> str:
        """Have a chunk asked for in a turn; return the id of its activity."""
        return self.add(
            "activityTaskScheduled",
            activityId=str(chunk + 1),
            activityType={"name": "perform"},
            taskQueue=QUEUE,
            input=_payload(chunk),
            workflowTaskCompletedEventId=turn,
        )

    def performed(self, activity: str) -> None:
        """Let a chunk be done."""
        started = self.add("activityTaskStarted", scheduledEventId=activity, attempt=1)
        self.add("activityTaskCompleted", scheduledEventId=activity, startedEventId=started)


def _payload(value: object) -> dict[str, Any]:
    encoding, data = (base64.b64encode(one).decode() for one in (b"json/plain", json.dumps(value).encode()))
    return {"payloads": [{"metadata": {"encoding": encoding}, "data": data}]}


def history(workflow: str, chunks: int, *, at_once: int, ended: int, is_over: bool) -> WorkflowHistory:
    """Return the history of a run.

    Args:
        workflow: What it is called.
        chunks: How many the run has.
        at_once: How many of them are performed at once.
        ended: How many have been, one after the other.
        is_over: Whether the workflow has ended then.
    """
    made = History()
    made.add(
        "workflowExecutionStarted",
        workflowType={"name": workflow},
        taskQueue=QUEUE,
        input=_payload(chunks),
        originalExecutionRunId="run",
        workflowId="run",
        workflowTaskTimeout="10s",
        attempt=1,
    )
    turn = made.turn()
    under_way = deque(made.asked(chunk, turn) for chunk in range(min(at_once, chunks)))
    for chunk in range(at_once, at_once + ended):
        made.performed(under_way.popleft())
        turn = made.turn()
        if chunk < chunks:
            under_way.append(made.asked(chunk, turn))
    if is_over:
        made.add("workflowExecutionCompleted", workflowTaskCompletedEventId=turn)
    return WorkflowHistory.from_json("run", {"events": made.events})


async def replayed(workflow: type, events: WorkflowHistory) -> list[StartActivityInput]:
    """Return what a workflow asks for, as it is loaded and run by a worker.

    Raises:
        Exception: It cannot be loaded so, fails, or does not what the history says.
    """
    asked: list[StartActivityInput] = []

    class Outbound(WorkflowOutboundInterceptor):
        def start_activity(self, input: StartActivityInput) -> Any:  # noqa: A002 the name of the one that it overrides
            asked.append(input)
            return super().start_activity(input)

    class Inbound(WorkflowInboundInterceptor):
        def init(self, outbound: WorkflowOutboundInterceptor) -> None:
            super().init(Outbound(outbound))

    class Noting(Interceptor):
        def workflow_interceptor_class(self, _: WorkflowInterceptorClassInput) -> type[WorkflowInboundInterceptor]:
            return Inbound

    await Replayer(workflows=[workflow], interceptors=[Noting()]).replay_workflow(events)
    return asked
