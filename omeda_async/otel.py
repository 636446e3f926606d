"""Spans and metrics for OpenTelemetry, by its semantic conventions for HTTP clients. Needs the extra ``otel``.

``docs/howto/opentelemetry.md`` shows which spans and which metrics. Like all events, they hold no record, address, id
or secret: ``url.full`` has the names of ids in place of ids.
"""

from collections.abc import Callable, MutableSequence, Sequence
from functools import lru_cache
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

try:
    from opentelemetry.context import Context
except ModuleNotFoundError as error:
    needs = "omeda_async.otel needs OpenTelemetry: pip install 'omeda-async[otel]'"
    raise ModuleNotFoundError(needs, name=error.name) from error
from opentelemetry.metrics import Histogram, MeterProvider, get_meter
from opentelemetry.trace import (
    Link,
    Span,
    SpanKind,
    StatusCode,
    TracerProvider,
    get_tracer,
    set_span_in_context,
)

from omeda_async import errors
from omeda_async._version import __version__
from omeda_async.events import (
    AccountPaused,
    AttemptEnded,
    AttemptStarted,
    BreakerChanged,
    CallEnded,
    CallStarted,
    Event,
    Hook,
    OutcomesReached,
    OutcomeUnclaimed,
    RetryPlanned,
    RunEnded,
    RunStarted,
    Settled,
)

__all__ = ["Instrumentation", "instrument"]

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.37.0"
SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""The bounds of histograms that the conventions advise for durations of HTTP requests."""
WAITS: Final = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0)
_DONE: Final = frozenset({"done", "already_done"})
_REFUSED_HERE: Final = frozenset({"LimitWaitExceeded", "BatcherFull", "ProviderUnavailable"})
_ROOT: Final = Context()


class TakesHooks(Protocol):
    """A session manager."""

    def add_hook(self, hook: Hook) -> None:
        """Call it with every event from now on."""


def instrument(
    target: TakesHooks | MutableSequence[Hook] | None = None,
    *,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
) -> "Instrumentation":
    """Have spans and metrics made of what a session manager does; return the hook that makes them.

    Args:
        target: A session manager, or a list of hooks for one that is still to be made, to which the hook is added. None
            adds it nowhere: ``SessionManager(hooks=[instrument()])``.
        tracer_provider: What makes spans; by default the global one.
        meter_provider: What makes metrics; by default the global one.
    """
    hook = Instrumentation(tracer_provider, meter_provider)
    if isinstance(target, MutableSequence):
        target.append(hook)
    elif target is not None:
        target.add_hook(hook)
    return hook


class Instrumentation:
    """A hook that makes spans and metrics.

    Args:
        tracer_provider: What makes spans; None for the global one.
        meter_provider: What makes metrics; None for the global one.
    """

    def __init__(
        self, tracer_provider: TracerProvider | None = None, meter_provider: MeterProvider | None = None
    ) -> None:
        spans = _Spans(tracer_provider)
        metrics = _Metrics(meter_provider)
        self._hear: dict[type[Event], Sequence[Callable[[Any], None]]] = {
            RunStarted: (spans.run_started,),
            RunEnded: (spans.run_ended,),
            CallStarted: (spans.call_started,),
            CallEnded: (spans.call_ended, metrics.call_ended),
            AttemptStarted: (spans.attempt_started, metrics.attempt_started),
            AttemptEnded: (metrics.attempt_ended, spans.attempt_ended),
            RetryPlanned: (spans.noted, metrics.retry_planned),
            Settled: (spans.noted,),
            AccountPaused: (spans.noted, metrics.account_paused),
            OutcomesReached: (metrics.outcomes_reached,),
            OutcomeUnclaimed: (metrics.outcome_unclaimed,),
            BreakerChanged: (metrics.breaker_changed,),
        }

    def __call__(self, event: Event) -> None:
        """Take an event."""
        for hear in self._hear.get(type(event), ()):
            hear(event)


class _Spans:
    """One span for each run, call and attempt, each a child of the one before; a call alone, of the caller's own."""

    def __init__(self, provider: TracerProvider | None) -> None:
        self._tracer = get_tracer(__name__, __version__, provider, SCHEMA_URL)
        self._runs: dict[str | None, Span] = {}
        self._services: dict[str | None, str] = {}
        """The operations of batchers and outboxes, which are open too long to have a span."""
        self._calls: dict[str | None, Span] = {}
        self._attempts: dict[str | None, Span] = {}

    def run_started(self, event: RunStarted) -> None:
        if event.kind == "bulk":
            self._runs[event.run_id] = self._tracer.start_span(_name(event), attributes=_ours(event))
        else:
            self._services[event.run_id] = event.operation

    def run_ended(self, event: RunEnded) -> None:
        self._services.pop(event.run_id, None)
        span = self._runs.pop(event.run_id, None)
        if span is not None:
            span.set_attributes({f"omeda_async.outcomes.{status}": number for status, number in event.counts.items()})
            span.set_attributes({"omeda_async.records": event.total, "omeda_async.requests": event.requests})
            span.end()

    def call_started(self, event: CallStarted) -> None:
        sharers = [self._calls[one] for one in event.made_for if one in self._calls]
        self._calls[event.call_id] = self._tracer.start_span(
            _name(event),
            context=set_span_in_context(sharers[0]) if sharers else self._parent(event),
            attributes={**_ours(event), "omeda_async.records": event.records},
            links=[Link(other.get_span_context()) for other in sharers[1:]],
        )

    def _parent(self, event: CallStarted) -> Context | None:
        """Return what a call is a child of; None for what its caller is in."""
        if event.run_id in self._runs:
            return set_span_in_context(self._runs[event.run_id])
        # A request of a batcher runs in a task that some caller happened to start, one of an outbox in its opener's.
        own = event.run_id not in self._services or event.operation == self._services[event.run_id]
        return None if own else _ROOT

    def call_ended(self, event: CallEnded) -> None:
        span = self._calls.pop(event.call_id, None)
        if span is not None:
            span.set_attributes({"omeda_async.outcome": event.outcome, "omeda_async.attempts": event.attempts})
            if event.error is not None and event.outcome not in _DONE:
                span.set_attribute("error.type", _error(event.error))
                span.set_status(StatusCode.ERROR)
            span.end()

    def attempt_started(self, event: AttemptStarted) -> None:
        call = self._calls.get(event.call_id)
        attributes = {**_http(event), "url.full": f"{event.base_url}{event.path}", "omeda_async.waited": event.waited}
        if event.attempt > 1:
            attributes["http.request.resend_count"] = event.attempt - 1
        self._attempts[event.call_id] = self._tracer.start_span(
            f"{event.method} {attributes['url.template']}",
            context=None if call is None else set_span_in_context(call),
            kind=SpanKind.CLIENT,
            attributes=attributes,
        )

    def attempt_ended(self, event: AttemptEnded) -> None:
        span = self._attempts.pop(event.call_id, None)
        if span is not None:
            span.set_attributes(_result(event))
            if _failed(event):
                span.set_status(StatusCode.ERROR)
            span.end()

    def noted(self, event: RetryPlanned | Settled | AccountPaused) -> None:
        """Note on the call's span what is no span of its own."""
        if (span := self._calls.get(event.call_id)) is None:
            return
        match event:
            case RetryPlanned():
                noted: dict[str, Any] = {"omeda_async.wait": event.wait, "error.type": _error(event.error)}
            case Settled():
                noted = {"omeda_async.verdict": event.verdict}
            case AccountPaused():
                noted = {"omeda_async.wait": event.seconds}
        span.add_event(type(event).__name__, noted)


class _Metrics:
    """What the conventions ask of an HTTP client, and what they know nothing of, under ``omeda_async.``."""

    def __init__(self, provider: MeterProvider | None) -> None:
        meter = get_meter(__name__, __version__, provider, SCHEMA_URL)
        count = meter.create_counter

        def timed(name: str, what: str, bounds: Sequence[float]) -> Histogram:
            return meter.create_histogram(name, "s", what, explicit_bucket_boundaries_advisory=bounds)

        self._duration = timed("http.client.request.duration", "Duration of HTTP client requests.", SECONDS)
        self._active = meter.create_up_down_counter(
            "http.client.active_requests", "{request}", "Number of active HTTP requests."
        )
        self._attempts = count("omeda_async.attempts", "{request}", "HTTP requests made, retries and reads included.")
        self._waits = timed(
            "omeda_async.limiter.wait.duration", "How long requests have waited for the limiter.", WAITS
        )
        self._outcomes = count("omeda_async.outcomes", "{record}", "Records with an outcome, by its status.")
        self._refusals = count(
            "omeda_async.refusals",
            "{refusal}",
            "Requests refused for limits by the provider, and calls that were not made for them.",
        )
        self._retries = count("omeda_async.retries", "{request}", "Requests that were to be made again.")
        self._pauses = timed(
            "omeda_async.pause.duration", "How long whole accounts have had to wait, as a provider asked for it.", WAITS
        )
        self._unclaimed = count("omeda_async.outcomes.unclaimed", "{record}", "Outcomes that nobody awaited any more.")
        self._breaker = count("omeda_async.breaker.changes", "{change}", "How often sending was ended or begun again.")
        self._in_flight: dict[str | None, dict[str, Any]] = {}

    def attempt_started(self, event: AttemptStarted) -> None:
        self._in_flight[event.call_id] = attributes = _http(event)
        self._active.add(1, attributes)
        self._attempts.add(1, _whose(event))
        self._waits.record(event.waited, _whose(event))

    def attempt_ended(self, event: AttemptEnded) -> None:
        attributes = self._in_flight.pop(event.call_id, None)
        if attributes is None:
            return  # it began before anybody asked for metrics
        self._active.add(-1, attributes)
        self._duration.record(event.seconds, {**attributes, **_result(event)})
        if event.status == 429:
            self._refusals.add(1, {**_whose(event), "error.type": _error(event.error or "RateLimited")})

    def call_ended(self, event: CallEnded) -> None:
        if event.error in _REFUSED_HERE:
            self._refusals.add(1, {**_whose(event), "error.type": _error(event.error)})

    def retry_planned(self, event: RetryPlanned) -> None:
        self._retries.add(1, {**_whose(event), "error.type": _error(event.error)})

    def account_paused(self, event: AccountPaused) -> None:
        self._pauses.record(event.seconds, {"omeda_async.provider": event.provider})

    def outcomes_reached(self, event: OutcomesReached) -> None:
        for status, number in event.counts.items():
            self._outcomes.add(number, {**_whose(event), "omeda_async.outcome": status})

    def outcome_unclaimed(self, event: OutcomeUnclaimed) -> None:
        self._unclaimed.add(1, {**_whose(event), "omeda_async.outcome": event.status})

    def breaker_changed(self, event: BreakerChanged) -> None:
        self._breaker.add(1, {**_whose(event), "omeda_async.breaker.state": event.state})


def _name(event: Event) -> str:
    return f"{event.provider} {event.operation}"


def _whose(event: Event) -> dict[str, Any]:
    return {"omeda_async.provider": event.provider, "omeda_async.operation": event.operation}


def _ours(event: Event) -> dict[str, Any]:
    ids = {"omeda_async.run.id": event.run_id, "omeda_async.call.id": event.call_id}
    return {**_whose(event), **{name: value for name, value in ids.items() if value is not None}}


@lru_cache(maxsize=64)
def _server(base_url: str) -> tuple[str, int, str]:
    url = urlsplit(base_url)
    return url.hostname or "", url.port or (80 if url.scheme == "http" else 443), url.path


def _http(event: AttemptStarted) -> dict[str, Any]:
    host, port, path = _server(event.base_url)
    return {
        "http.request.method": event.method,
        "server.address": host,
        "server.port": port,
        "url.template": f"{path}{event.path}",
    }


def _failed(event: AttemptEnded) -> bool:
    return event.error is not None or (event.status or 0) >= 400


def _result(event: AttemptEnded) -> dict[str, Any]:
    attributes: dict[str, Any] = {} if event.status is None else {"http.response.status_code": event.status}
    if event.status is not None and event.status >= 400:
        attributes["error.type"] = str(event.status)
    elif event.error is not None:
        attributes["error.type"] = _error(event.error)
    return attributes


def _error(name: str) -> str:
    """Return the full name of a class that an event names."""
    return f"omeda_async.{name}" if hasattr(errors, name) else name
