"""Help for the tests of decisions: the operations of each kind, and histories that are played."""

from typing import Any

from omeda_async import OmedaAsyncError, RetryPolicy
from omeda_async._decide import Ended, Event, Looked, Rules, State, Step, Wait, first_step, next_step
from omeda_async._operation import Operation, Verdict
from omeda_async.providers.omeda import _operations as omeda
from tests.core.scripted import CAMPAIGN_CANCEL, DEPLOYMENT_CANCEL, DEPLOYMENT_CREATE

POLICY = RetryPolicy(attempts=5, base_delay=0.5, max_delay=30.0)
REPEATABLE = DEPLOYMENT_CANCEL.operation
READ_FIRST = CAMPAIGN_CANCEL.operation
DOUBLING = DEPLOYMENT_CREATE.operation
UNREAD = omeda.UPDATE
RENEWED = State(renewed=True)
DONE, TOO_LATE, NOT_DONE, UNDECIDED = (Looked(verdict) for verdict in Verdict)


def rules_of(operation: Operation[Any, Any], **options: Any) -> Rules:
    return Rules(operation=operation, **{"policy": POLICY, "uniform": lambda: 0.0, **options})


def play(rules: Rules, *history: OmedaAsyncError | Event, state: State = RENEWED) -> tuple[State, Step]:
    """Return where a call is after these events; an error stands for an attempt that has ended with it."""
    step: Step = first_step(rules, state)
    for one in history:
        event = Ended(one) if isinstance(one, OmedaAsyncError) else one
        state, step = next_step(rules, state, event)
    return state, step


def next_of(operation: Operation[Any, Any], *history: OmedaAsyncError | Event, **options: Any) -> Step:
    return play(rules_of(operation, **options), *history)[1]


def kind_of(step: Step) -> type:
    """Return what a step comes to: an attempt, a read or the end."""
    return type(step.then) if isinstance(step, Wait) else type(step)
