"""Spans and metrics, by the real SDK's in-memory exporters."""

import asyncio
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv.attributes import (
    error_attributes,
    http_attributes,
    server_attributes,
    url_attributes,
)
from opentelemetry.semconv.metrics import http_metrics
from opentelemetry.trace import SpanKind, StatusCode

from omeda_async import ApiError, BrandOptOut, ClientOptOut, LimitWaitExceeded, RateLimit, SessionManager, Window
from omeda_async.events import AttemptEnded, CallEnded, Event, Hook
from omeda_async.otel import Instrumentation, instrument
from omeda_async.sandbox import Fault, FaultKind, FaultPoint, Sandbox
from tests.bulk.outbox_help import outbox_on
from tests.bulk.sandboxed import manager_on

CANCEL = "/v1/hood/campaigns/{campaign_id}/cancel"
OCAMBA = {"omeda_async.provider": "ocamba", "omeda_async.operation": "campaigns.cancel"}


@attrs.frozen
class Telemetry:
    """What is made of events, and where it goes."""

    exporter: InMemorySpanExporter
    reader: InMemoryMetricReader
    tracers: TracerProvider
    meters: MeterProvider
    hook: Instrumentation

    @property
    def spans(self) -> list[ReadableSpan]:
        """All spans that have ended."""
        return list(self.exporter.get_finished_spans())

    def named(self, name: str) -> list[ReadableSpan]:
        """Those of a name, as they have begun."""
        return sorted((span for span in self.spans if span.name == name), key=lambda span: span.start_time or 0)

    def points(self, name: str) -> list[tuple[dict[str, Any], Any]]:
        """What a metric shows: attributes, and the sum, or how often and how much."""
        data = self.reader.get_metrics_data()
        if data is None:
            return []
        metrics = [one for of in data.resource_metrics for scope in of.scope_metrics for one in scope.metrics]
        found: list[Any] = [point for one in metrics if one.name == name for point in one.data.data_points]
        return [(dict(one.attributes), one.value if hasattr(one, "value") else (one.count, one.sum)) for one in found]


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    """A hook with providers of its own."""
    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracers, meters = TracerProvider(shutdown_on_exit=False), MeterProvider([reader], shutdown_on_exit=False)
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    hook = instrument(tracer_provider=tracers, meter_provider=meters)
    yield Telemetry(exporter, reader, tracers, meters, hook)
    tracers.shutdown()
    meters.shutdown()


def parent_of(span: ReadableSpan, spans: list[ReadableSpan]) -> ReadableSpan | None:
    """The span that another is a child of, if it is there."""
    ids = {one.context.span_id: one for one in spans if one.context is not None}
    return None if span.parent is None else ids.get(span.parent.span_id)


def attributes_of(span: ReadableSpan) -> dict[str, Any]:
    """What a span says."""
    return dict(span.attributes or {})


async def test_attempts_are_children_of_their_call_and_that_of_whoever_made_it(telemetry: Telemetry) -> None:
    """A retried call has two, the second numbered; and between them what was planned."""
    async with Sandbox() as sandbox, manager_on(sandbox, hooks=[telemetry.hook]) as manager:
        sandbox.ocamba.seed_campaigns(["77001"])
        sandbox.fault(Fault(FaultKind.UNAVAILABLE, FaultPoint.BEFORE, "campaigns.cancel"))
        with telemetry.tracers.get_tracer("app").start_as_current_span("handler"):
            await manager.ocamba.campaigns.cancel("77001")
    (handler,) = telemetry.named("handler")
    (call,) = telemetry.named("ocamba campaigns.cancel")
    first, second = telemetry.named(f"POST {CANCEL}")
    assert parent_of(call, telemetry.spans) is handler
    assert parent_of(first, telemetry.spans) is parent_of(second, telemetry.spans) is call
    assert (call.kind, first.kind) == (SpanKind.INTERNAL, SpanKind.CLIENT)
    assert [event.name for event in call.events][-1] == "RetryPlanned"
    assert http_attributes.HTTP_REQUEST_RESEND_COUNT not in attributes_of(first)
    assert attributes_of(second)[http_attributes.HTTP_REQUEST_RESEND_COUNT] == 1
    assert attributes_of(call)["omeda_async.outcome"] == "done"
    assert attributes_of(call)["omeda_async.attempts"] == 2
    assert "77001" not in str([span.to_json() for span in telemetry.spans])


async def test_an_attempt_says_what_the_conventions_ask_for(telemetry: Telemetry) -> None:
    """The names of the SDK's own constants; the URL with a name in place of the id; a status that says it failed."""
    async with Sandbox() as sandbox, manager_on(sandbox, hooks=[telemetry.hook]) as manager:
        sandbox.ocamba.seed_campaigns(["1"])
        sandbox.fault(Fault(FaultKind.UNAVAILABLE, FaultPoint.BEFORE, "campaigns.cancel"))
        await manager.ocamba.campaigns.cancel("1")
        port = int(sandbox.url.rpartition(":")[2])
    failed, fine = map(attributes_of, telemetry.named(f"POST {CANCEL}"))
    assert failed.pop("omeda_async.waited") >= 0.0
    assert failed == {
        http_attributes.HTTP_REQUEST_METHOD: "POST",
        http_attributes.HTTP_RESPONSE_STATUS_CODE: 503,
        server_attributes.SERVER_ADDRESS: "127.0.0.1",
        server_attributes.SERVER_PORT: port,
        url_attributes.URL_FULL: f"http://127.0.0.1:{port}{CANCEL}",
        "url.template": CANCEL,
        error_attributes.ERROR_TYPE: "503",
    }
    assert fine[http_attributes.HTTP_RESPONSE_STATUS_CODE] == 204
    assert error_attributes.ERROR_TYPE not in fine
    assert [span.status.status_code for span in telemetry.named(f"POST {CANCEL}")] == [
        *(StatusCode.ERROR, StatusCode.UNSET)
    ]


async def test_the_path_of_the_base_url_is_in_the_template(telemetry: Telemetry) -> None:
    """Journey Manager's workspaces lie below a path of the customer's own."""
    async with Sandbox() as sandbox, manager_on(sandbox, hooks=[telemetry.hook]) as manager:
        with pytest.raises(ApiError):
            await manager.journey_manager.transactions.cancel("nowhere")
    assert telemetry.named("POST /workspaces/secure/api/v1/txn/cancel")


async def test_a_lost_answer_and_its_look_up_are_in_one_tree(telemetry: Telemetry) -> None:
    """The read is a call of its own below the one in doubt; its verdict is noted there."""
    async with Sandbox() as sandbox, manager_on(sandbox, hooks=[telemetry.hook]) as manager:
        sandbox.ocamba.seed_campaigns(["1"])
        sandbox.fault(Fault(FaultKind.DROP, FaultPoint.AFTER, "campaigns.cancel"))
        receipt = await manager.ocamba.campaigns.cancel("1")
    assert receipt.settled
    (call,), (read,) = telemetry.named("ocamba campaigns.cancel"), telemetry.named("ocamba campaigns.get")
    assert parent_of(read, telemetry.spans) is call
    (lost,) = telemetry.named(f"POST {CANCEL}")
    assert attributes_of(lost)["error.type"] == "omeda_async.AnswerLost"
    assert lost.status.status_code is StatusCode.ERROR
    settled = {event.name: dict(event.attributes or {}) for event in call.events}
    assert settled["Settled"] == {"omeda_async.verdict": "done"}
    assert attributes_of(read)["omeda_async.records"] == 0
    assert telemetry.points("omeda_async.outcomes") == [({**OCAMBA, "omeda_async.outcome": "already_done"}, 1)]


async def test_a_run_holds_its_calls_whichever_task_makes_them(telemetry: Telemetry) -> None:
    """All in the trace of whoever began it, each worker's calls below the run."""
    async with Sandbox() as sandbox, manager_on(sandbox, hooks=[telemetry.hook]) as manager:
        sandbox.ocamba.seed_campaigns(["1", "2", "3"])
        with telemetry.tracers.get_tracer("app").start_as_current_span("job"):
            await asyncio.gather(
                _awaited(manager.ocamba.campaigns.cancel_many(["1", "2"])),
                _awaited(manager.ocamba.campaigns.cancel_many(["3", "4"])),
            )
    (job,) = telemetry.named("job")
    runs = telemetry.named("ocamba campaigns.cancel_many")
    calls = telemetry.named("ocamba campaigns.cancel")
    assert [parent_of(run, telemetry.spans) for run in runs] == [job, job]
    assert Counter(id(parent_of(call, telemetry.spans)) for call in calls) == {id(run): 2 for run in runs}
    assert len({span.context.trace_id for span in telemetry.spans if span.context is not None}) == 1
    assert [attributes_of(run)["omeda_async.records"] for run in runs] == [2, 2]
    (failed,) = [call for call in calls if call.status.status_code is StatusCode.ERROR]
    assert attributes_of(failed)["error.type"] == "omeda_async.NotFound"
    done = {**OCAMBA, "omeda_async.operation": "campaigns.cancel_many"}
    assert sorted(telemetry.points("omeda_async.outcomes"), key=lambda point: point[1]) == [
        ({**done, "omeda_async.outcome": "rejected"}, 1),
        ({**done, "omeda_async.outcome": "done"}, 3),
    ]


async def _awaited(run: Any) -> Any:
    return await run


async def test_those_who_share_a_request_of_a_batcher_are_linked_to_it(telemetry: Telemetry) -> None:
    """It is a child of the first, and linked to the others; each ``add`` is in the trace of its own handler."""
    tracer = telemetry.tracers.get_tracer("app")

    async def handle(batcher: Any, number: int) -> None:
        with tracer.start_as_current_span(f"handler {number}"):
            await batcher.add(ClientOptOut(f"private{number}@example.com"))

    async with (
        Sandbox() as sandbox,
        manager_on(sandbox, hooks=[telemetry.hook]) as manager,
        manager.omeda.opt_outs.batcher() as batcher,
    ):
        await asyncio.gather(*(handle(batcher, number) for number in range(3)))
    adds = telemetry.named("omeda opt_outs.batcher")
    parents = [parent_of(add, telemetry.spans) for add in adds]
    assert [parent and parent.name for parent in parents] == ["handler 0", "handler 1", "handler 2"]
    (request,) = telemetry.named("omeda opt_outs.submit")
    assert parent_of(request, telemetry.spans) is adds[0]
    assert [link.context for link in request.links] == [add.context for add in adds[1:]]
    (attempt,) = telemetry.named("POST /webservices/rest/client/{client}/optoutfilterqueue/*")
    assert parent_of(attempt, telemetry.spans) is request
    assert "private" not in str([span.to_json() for span in telemetry.spans])


async def test_a_request_of_an_outbox_is_nobodys_child(telemetry: Telemetry, tmp_path: Path) -> None:
    """It is delivered some time, maybe by another process: not in the trace of whoever happened to open the outbox."""
    async with Sandbox() as sandbox:
        with telemetry.tracers.get_tracer("app").start_as_current_span("start-up"):
            async with outbox_on(sandbox, tmp_path / "box.sqlite3", hooks=[telemetry.hook]) as box:
                ticket = await box.put(ClientOptOut("one@example.com"))
                await box.outcome(ticket, timeout=30.0)
    (request,) = telemetry.named("omeda opt_outs.submit")
    assert request.parent is None


async def test_the_metrics_of_http_follow_the_conventions(telemetry: Telemetry) -> None:
    """Durations by status, and what is in flight comes back to nothing."""
    async with Sandbox() as sandbox, manager_on(sandbox, hooks=[telemetry.hook]) as manager:
        sandbox.ocamba.seed_campaigns(["1", "2"])
        sandbox.fault(Fault(FaultKind.UNAVAILABLE, FaultPoint.BEFORE, "campaigns.cancel"))
        for one in ("1", "2"):
            await manager.ocamba.campaigns.cancel(one)
        server = {"server.address": "127.0.0.1", "server.port": int(sandbox.url.rpartition(":")[2])}
    common = {"http.request.method": "POST", "url.template": CANCEL, **server}
    durations = telemetry.points(http_metrics.HTTP_CLIENT_REQUEST_DURATION)
    assert [(attributes, count) for attributes, (count, _) in durations] == [
        ({**common, "http.response.status_code": 503, "error.type": "503"}, 1),
        ({**common, "http.response.status_code": 204}, 2),
    ]
    assert telemetry.points("http.client.active_requests") == [(common, 0)]
    assert telemetry.points("omeda_async.attempts") == [(OCAMBA, 3)]
    assert telemetry.points("omeda_async.retries") == [({**OCAMBA, "error.type": "omeda_async.ServerError"}, 1)]
    ((whose, (count, _)),) = telemetry.points("omeda_async.limiter.wait.duration")
    assert (whose, count) == (OCAMBA, 3)


async def test_what_is_in_flight_is_counted_while_it_is(telemetry: Telemetry) -> None:
    """And not any more once it was cancelled."""
    async with Sandbox(latency=60.0) as sandbox, manager_on(sandbox, hooks=[telemetry.hook], timeout=100.0) as manager:
        task = asyncio.create_task(manager.ocamba.campaigns.cancel("1"))
        await asyncio.sleep(1.0)
        assert [value for _, value in telemetry.points("http.client.active_requests")] == [1]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert [value for _, value in telemetry.points("http.client.active_requests")] == [0]
    assert telemetry.points("omeda_async.outcomes") == [({**OCAMBA, "omeda_async.outcome": "unknown"}, 1)]
    (call,) = telemetry.named("ocamba campaigns.cancel")
    assert attributes_of(call)["error.type"] == "CancelledError"


async def test_refusals_are_counted_whoever_refuses(telemetry: Telemetry) -> None:
    """The provider by a 429, the limiter by the wait that a caller allows; and the pause that follows the one."""
    limits = {"ocamba": RateLimit(Window(1, 100.0), interactive_reserve=0)}
    async with Sandbox() as sandbox, manager_on(sandbox, hooks=[telemetry.hook], limits=limits) as manager:
        sandbox.ocamba.seed_campaigns(["1"])
        sandbox.fault(Fault(FaultKind.TOO_MANY, FaultPoint.BEFORE, "campaigns.cancel", retry_after=7))
        with pytest.raises(ApiError):
            await manager.ocamba.campaigns.cancel("1", deadline=3.0)
        with pytest.raises(LimitWaitExceeded):
            await manager.ocamba.campaigns.cancel("1", max_wait=1.0)
    refusals = {one["error.type"]: number for one, number in telemetry.points("omeda_async.refusals")}
    assert refusals == {"omeda_async.RateLimited": 1, "omeda_async.LimitWaitExceeded": 1}
    ((_, (count, seconds)),) = telemetry.points("omeda_async.pause.duration")
    assert count == 1
    assert 7.0 <= seconds <= 8.0
    call = telemetry.named("ocamba campaigns.cancel")[0]
    assert "AccountPaused" in {event.name for event in call.events}


async def test_a_batcher_counts_its_outcomes_its_refusals_and_what_nobody_awaits(telemetry: Telemetry) -> None:
    """By status, under its own name."""
    async with Sandbox() as sandbox, manager_on(sandbox, hooks=[telemetry.hook]) as manager:
        async with manager.omeda.opt_outs.batcher(max_delay=1.0) as batcher:
            task = asyncio.create_task(batcher.add(ClientOptOut("one@example.com")))
            await asyncio.sleep(0.5)
            task.cancel()
            await batcher.add(BrandOptOut("two@example.com", brand_ids=["NOPE"]))
        await sandbox.__aexit__(None, None, None)
        async with manager.omeda.opt_outs.batcher(max_delay=0.0) as batcher:
            for _ in range(2):
                await batcher.add(ClientOptOut("three@example.com"))
    own = {"omeda_async.provider": "omeda", "omeda_async.operation": "opt_outs.batcher"}
    outcomes = {one["omeda_async.outcome"]: number for one, number in telemetry.points("omeda_async.outcomes")}
    assert outcomes == {"not_sent": 2, "rejected": 1, "failed": 1}
    assert telemetry.points("omeda_async.refusals") == [({**own, "error.type": "omeda_async.ProviderUnavailable"}, 1)]
    assert telemetry.points("omeda_async.outcomes.unclaimed") == [({**own, "omeda_async.outcome": "not_sent"}, 1)]
    assert telemetry.points("omeda_async.breaker.changes") == [({**own, "omeda_async.breaker.state": "open"}, 1)]


async def test_a_manager_or_a_list_of_hooks_is_instrumented(telemetry: Telemetry) -> None:
    """Whichever is there first; without either the hook is given back alone."""
    providers: dict[str, Any] = {"tracer_provider": telemetry.tracers, "meter_provider": telemetry.meters}
    hooks: list[Hook] = []
    hook = instrument(hooks, **providers)
    assert hooks == [hook]
    async with Sandbox() as sandbox, manager_on(sandbox, hooks=hooks) as manager:
        sandbox.ocamba.seed_campaigns(["1"])
        await manager.ocamba.campaigns.cancel("1")
        assert len(telemetry.named("ocamba campaigns.cancel")) == 1
        instrument(manager, **providers)
        await manager.ocamba.campaigns.get("1")
        assert len(telemetry.named("ocamba campaigns.get")) == 2


async def test_what_began_before_it_was_asked_for_is_left_out(telemetry: Telemetry) -> None:
    """An end without a beginning makes no span, and nothing negative in flight."""
    common: dict[str, Any] = {"provider": "ocamba", "operation": "campaigns.cancel", "call_id": "unseen"}
    ends: list[Event] = [
        AttemptEnded(**common, attempt=1, status=200, seconds=1.0, waited=0.0),
        CallEnded(**common, outcome="done", attempts=1, seconds=1.0),
    ]
    for event in ends:
        telemetry.hook(event)
    assert telemetry.spans == []
    assert telemetry.points("http.client.active_requests") == []


def test_without_opentelemetry_the_error_says_what_to_install() -> None:
    """The extra by its name."""
    script = "import sys\nsys.modules['opentelemetry'] = None\nimport omeda_async.otel"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)  # noqa: S603 our own words
    assert run.returncode == 1
    assert "omeda_async.otel needs OpenTelemetry: pip install 'omeda-async[otel]'" in run.stderr


def test_the_global_providers_are_the_default() -> None:
    """Without an SDK they do nothing, and cost no error."""
    assert isinstance(instrument(), Instrumentation)
    assert SessionManager.add_hook.__doc__
