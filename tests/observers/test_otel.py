"""OpenTelemetry, with the real SDK and its in-memory exporters."""

import subprocess
import sys

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from cachepoint import Usage, observers
from cachepoint.core.accounting.diagnosis import Miss
from tests.observers.reports import SONNET, report, talk

WHERE = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "aws.bedrock",
    "gen_ai.request.model": SONNET,
}


class Telemetry:
    def __init__(self):
        self.exporter, self.reader = InMemorySpanExporter(), InMemoryMetricReader()
        self.tracers, self.meters = TracerProvider(), MeterProvider([self.reader])
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = self.tracers.get_tracer("test")

    def observer(self, **options):
        return observers.otel(tracer_provider=self.tracers, meter_provider=self.meters, **options)

    @property
    def spans(self):
        return self.exporter.get_finished_spans()

    @property
    def points(self):
        data = self.reader.get_metrics_data()
        scopes = [scope for r in (data.resource_metrics if data else ()) for scope in r.scope_metrics]
        return {m.name: m.data.data_points for scope in scopes for m in scope.metrics}

    def value(self, name):
        (point,) = self.points[name]
        return point.value, dict(point.attributes)


@pytest.fixture
def telemetry():
    telemetry = Telemetry()
    yield telemetry
    telemetry.tracers.shutdown()
    telemetry.meters.shutdown()


def test_a_call_is_a_span_with_the_present_names(telemetry):
    one = report(100, 50, miss=Miss("expired", "system[0]", 70), seconds=1.5, first_token_seconds=0.5)
    telemetry.observer()(one)
    (span,) = telemetry.spans

    assert (span.name, span.kind) == (f"chat {SONNET}", SpanKind.CLIENT)
    assert span.end_time - span.start_time == 1_500_000_000
    assert dict(span.attributes) == {
        **WHERE,
        # OpenTelemetry counts the cached tokens in, Bedrock leaves them out.
        "gen_ai.usage.input_tokens": 160,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.usage.cache_read.input_tokens": 100,
        "gen_ai.usage.cache_write.input_tokens": 50,
        "gen_ai.usage.cache_creation.input_tokens": 50,
        "gen_ai.response.time_to_first_chunk": 0.5,
        "cachepoint.conversation": "c0ffee",
        "cachepoint.checkpoints": 1,
        "cachepoint.cost_usd": float(one.cost),
        "cachepoint.saved_usd": float(one.saved),
        "cachepoint.miss.cause": "expired",
        "cachepoint.miss.where": "system[0]",
        "cachepoint.miss.tokens": 70,
    }


@pytest.mark.parametrize(
    "marked",
    [
        {"gen_ai.operation.name": "chat"},
        {"gen_ai.system": "aws.bedrock"},
        {"openinference.span.kind": "LLM"},
        {"langfuse.observation.type": "generation"},
    ],
    ids=lambda marked: next(iter(marked)),
)
def test_a_model_calls_own_span_gets_the_figures_and_no_second_one_is_sent(telemetry, marked):
    with telemetry.tracer.start_as_current_span("theirs", attributes=marked):
        telemetry.observer()(report(100, 50))
    (span,) = telemetry.spans

    assert span.name == "theirs"
    assert span.attributes["gen_ai.usage.cache_read.input_tokens"] == 100


@pytest.mark.parametrize("theirs", [{}, {"gen_ai.operation.name": "invoke_agent"}])
def test_any_other_span_gets_a_child(telemetry, theirs):
    with telemetry.tracer.start_as_current_span("request", attributes=theirs):
        for one in talk(2):
            telemetry.observer()(one)
    *ours, parent = telemetry.spans

    assert [span.parent.span_id for span in ours] == [parent.context.span_id] * 2
    assert dict(parent.attributes) == theirs


def test_current_never_makes_a_span(telemetry):
    observer = telemetry.observer(spans="current")
    observer(report())
    with telemetry.tracer.start_as_current_span("theirs", attributes={"gen_ai.operation.name": "chat"}):
        observer(report(100))

    (span,) = telemetry.spans
    assert span.attributes["gen_ai.usage.cache_read.input_tokens"] == 100


def test_off_is_metrics_alone(telemetry):
    with telemetry.tracer.start_as_current_span("theirs", attributes={"gen_ai.operation.name": "chat"}):
        telemetry.observer(spans="off")(report(100))

    assert "gen_ai.usage.input_tokens" not in telemetry.spans[0].attributes
    assert telemetry.value("gen_ai.client.inference.usage.input_tokens")[0] == 110


def test_the_metrics_add_up_under_the_present_names(telemetry):
    observer, reports = telemetry.observer(), list(talk(5))
    for one in reports:
        observer(one)
    total = sum((r.usage for r in reports), Usage())
    counted = {**WHERE, "gen_ai.token.modality": "unknown"}

    for name, tokens in {
        "input_tokens": total.input_tokens,
        "output_tokens": total.output_tokens,
        "cache_read.input_tokens": total.read_tokens,
        "cache_write.input_tokens": total.write_tokens,
    }.items():
        assert telemetry.value(f"gen_ai.client.inference.usage.{name}") == (tokens, counted)
    saved, where = telemetry.value("cachepoint.saved")
    assert saved == pytest.approx(float(sum(r.saved for r in reports)))
    assert where == WHERE
    assert telemetry.value("cachepoint.cost")[0] == pytest.approx(float(sum(r.cost for r in reports)))
    assert telemetry.value("cachepoint.rewrite_factor")[0] == pytest.approx(4_000 / 4_020)
    assert "gen_ai.client.inference.duration" not in telemetry.points


def test_waste_is_by_cause(telemetry):
    observer = telemetry.observer()
    for miss in (Miss("expired", None, 70), Miss("expired", None, 30), Miss("system_changed")):
        observer(report(0, 50, miss=miss))

    waste = {p.attributes["cause"]: p.value for p in telemetry.points["cachepoint.waste_tokens"]}
    calls = {p.attributes["cause"]: p.value for p in telemetry.points["cachepoint.missed_calls"]}
    assert waste == {"expired": 100, "system_changed": 0}
    assert calls == {"expired": 2, "system_changed": 1}


def test_a_ttl_that_was_cut_down_is_counted(telemetry):
    observer = telemetry.observer()
    observer(report(0, 50, one_hour=50, ttls=("1h",)))
    observer(report(50, 0, ttls=("1h",)))
    observer(report(0, 50, ttls=("1h", "5m")))
    assert "cachepoint.ttl_downgraded" not in telemetry.points

    observer(report(0, 50, ttls=("1h",)))
    assert telemetry.value("cachepoint.ttl_downgraded") == (1, WHERE)


def test_times_are_told_where_they_are_known(telemetry):
    telemetry.observer()(report(seconds=1.5, first_token_seconds=0.5))

    (duration,) = telemetry.points["gen_ai.client.inference.duration"]
    (first,) = telemetry.points["gen_ai.client.inference.time_to_first_chunk"]
    assert (duration.sum, first.sum) == (1.5, 0.5)


def test_unknown_is_not_reported(telemetry):
    telemetry.observer()(report(model="made.up", usage=Usage(10, 5), conversation=None))
    telemetry.observer()(report(usage=None))

    assert not [name for name in telemetry.spans[0].attributes if "cache_" in name or "usd" in name]
    assert "gen_ai.usage.input_tokens" not in telemetry.spans[1].attributes
    assert "gen_ai.client.inference.usage.cache_read.input_tokens" not in telemetry.points


def test_a_misspelt_mode_is_an_error():
    with pytest.raises(ValueError, match="spans is 'own'; use one of 'auto', 'current', 'off'"):
        observers.otel(spans="own")


def test_without_the_extra_the_extra_is_named():
    code = (
        "import sys; sys.modules['opentelemetry'] = None; from cachepoint import observers; observers.otel()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert 'pip install "cachepoint[otel]"' in done.stderr.splitlines()[-1]
