"""OpenTelemetry: spans and metrics with the GenAI names."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary, WeakSet

from cachepoint.core.accounting.report import CallReport
from cachepoint.core.forks import ForkSafeLock
from cachepoint.core.guard import InvalidOptionError
from cachepoint.core.listeners import Observer, sending
from cachepoint.reporting.rows import Row
from cachepoint.reporting.tally import Tally

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter, MeterProvider
    from opentelemetry.trace import Span, Tracer, TracerProvider

Spans = Literal["auto", "current", "off"]
_SPANS: tuple[Spans, ...] = ("auto", "current", "off")

# open-telemetry/semantic-conventions-genai, 2026-11: `cache_write` was `cache_creation` before #440, and
# readers in the wild know one or the other.
_OPERATION = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "aws.bedrock"}
_CLIENT = "gen_ai.client.inference."
# Bedrock does not say which modality its tokens are of.
_MODALITY = {"gen_ai.token.modality": "unknown"}
# How the span of a model call is known, whoever made it: OpenTelemetry now and before 1.37,
# OpenInference, OpenLLMetry, Langfuse. None: any value will do.
_MODEL_SPANS: Mapping[str, tuple[str, ...] | None] = {
    "gen_ai.operation.name": ("chat", "text_completion", "generate_content"),
    "gen_ai.system": None,
    "openinference.span.kind": ("LLM",),
    "llm.request.type": None,
    "langfuse.observation.type": ("generation",),
}
# OpenLLMetry's have their attributes after the answer only: they are known by who makes them.
_MODEL_SCOPES = ("opentelemetry.instrumentation.bedrock",)
# A call begins few spans: its own, and one for each request over HTTP.
_MAX_BEGUN = 8
# The bounds that open-telemetry/semantic-conventions-genai gives both histograms of seconds (2026-11).
_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)


def otel(
    *,
    spans: Spans = "auto",
    tracer_provider: "TracerProvider | None" = None,
    meter_provider: "MeterProvider | None" = None,
) -> Observer:
    """Report every call to OpenTelemetry.

    Where something else made a span of the model call, the figures are set on that, so that no exporter
    gets them twice; else a span `chat {model}` is made. The call's span is the current one, or one that was
    begun within the call by whoever traces botocore. For the latter the call has to go through a client of
    `cachepoint.aws`, as those of both frameworks do.

    Args:
        spans: `"auto"`: as said. `"current"`: only ever set on a span that something else made.
            `"off"`: metrics alone.
        tracer_provider: None: the global one.
        meter_provider: None: the global one.

    Raises:
        ImportError: Where opentelemetry-api is not installed.
        InvalidOptionError: Where `spans` is none of these, a ValueError.
    """
    if spans not in _SPANS:
        raise InvalidOptionError(f"spans is {spans!r}; use one of {', '.join(map(repr, _SPANS))}")
    try:
        from opentelemetry import metrics, trace  # noqa: PLC0415
    except ImportError as error:
        raise ImportError('this needs opentelemetry-api: pip install "cachepoint[otel]"') from error
    tracer = trace.get_tracer("cachepoint", tracer_provider=tracer_provider)
    meter = metrics.get_meter("cachepoint", meter_provider=meter_provider)
    return _Otel(
        _Spans(tracer, spans, lambda: tracer_provider or trace.get_tracer_provider()), _Metrics(meter)
    )


class _Otel:
    def __init__(self, spans: "_Spans", metrics: "_Metrics") -> None:
        self._spans, self._metrics = spans, metrics

    def __call__(self, report: CallReport) -> None:
        self._spans.tell(report)
        self._metrics.tell(report)


class _Spans:
    def __init__(self, tracer: "Tracer", mode: Spans, provider: "Callable[[], TracerProvider]") -> None:
        self._tracer, self._mode, self._provider = tracer, mode, provider
        if mode != "off":
            _watch(provider())

    def tell(self, report: CallReport) -> None:
        if self._mode == "off":
            return
        # The program may set its provider after us.
        _watch(self._provider())
        theirs = next(filter(_is_model_call, self._candidates()), None)
        if theirs is not None and theirs.is_recording():
            theirs.set_attributes(_attributes(report))
        # Beside one that has ended, a second one would be counted twice.
        elif theirs is None and self._mode == "auto":
            self._make(report)

    def _candidates(self) -> "Iterator[Span]":
        from opentelemetry.trace import get_current_span  # noqa: PLC0415

        yield get_current_span()
        call = sending.get()
        yield from _begun.get(call, ()) if call is not None else ()

    def _make(self, report: CallReport) -> None:
        from opentelemetry.trace import SpanKind  # noqa: PLC0415

        now, seconds = time.time_ns(), report.seconds or 0.0
        span = self._tracer.start_span(
            f"chat {report.model_id}",
            kind=SpanKind.CLIENT,
            attributes=_attributes(report),
            start_time=max(0, now - round(seconds * 1e9)) if isfinite(seconds) and seconds > 0 else now,
        )
        span.end(now)


# By what stands for a call: the spans that were begun while it was on its way.
_begun: "WeakKeyDictionary[object, list[Span]]" = WeakKeyDictionary()
_watched: "WeakSet[Any]" = WeakSet()


def _watch(provider: Any) -> None:
    """Have every span noted that begins, once: the SDK's provider tells of them, and forgets nobody."""
    add = getattr(provider, "add_span_processor", None)
    if add is None or provider in _watched:
        return
    _watched.add(provider)
    from opentelemetry.sdk.trace import SpanProcessor  # noqa: PLC0415

    class Begun(SpanProcessor):
        def on_start(self, span: "Span", parent_context: Any = None) -> None:  # noqa: ARG002
            _note(span)

    add(Begun())


def _note(span: "Span") -> None:
    call = sending.get()
    if call is not None and len(begun := _begun.setdefault(call, [])) < _MAX_BEGUN:
        begun.append(span)


class _Metrics:
    def __init__(self, meter: "Meter") -> None:
        tokens = ("input_tokens", "output_tokens", "cache_read.input_tokens", "cache_write.input_tokens")
        self._usage = {name: meter.create_counter(f"{_CLIENT}usage.{name}", "{token}") for name in tokens}
        self._duration, self._first = (
            meter.create_histogram(_CLIENT + name, "s", explicit_bucket_boundaries_advisory=_SECONDS)
            for name in ("duration", "time_to_first_chunk")
        )
        self._waste = meter.create_counter(
            "cachepoint.waste_tokens", "{token}", "Tokens that could have been read and were not"
        )
        self._missed = meter.create_counter("cachepoint.missed_calls", "{call}", "Calls that missed")
        self._downgraded = meter.create_counter(
            "cachepoint.ttl_downgraded", "{call}", "Calls that asked for 1h and were written for 5m alone"
        )
        self._cost = meter.create_counter("cachepoint.cost", "{USD}", "What the calls cost")
        self._saved = meter.create_up_down_counter("cachepoint.saved", "{USD}", "Saved against no caching")
        self._tally, self._lock = Tally(), ForkSafeLock()
        meter.create_observable_gauge(
            "cachepoint.rewrite_factor",
            [lambda _: self._rewrites()],
            "1",
            "Written tokens over the largest context of each conversation",
        )

    def tell(self, report: CallReport) -> None:
        kind = {} if report.kind == "call" else {"cachepoint.kind": report.kind}
        where = {**_OPERATION, "gen_ai.request.model": report.model_id, **kind}
        for name, tokens in _counts(report).items():
            if tokens:
                self._usage[name].add(tokens, {**where, **_MODALITY})
        if report.seconds is not None:
            self._duration.record(report.seconds, where)
        if report.first_token_seconds is not None:
            self._first.record(report.first_token_seconds, where)
        if report.cost is not None and report.saved is not None:
            self._cost.add(float(report.cost), where)
            self._saved.add(float(report.saved), where)
        if _downgraded(report):
            self._downgraded.add(1, where)
        if report.miss is not None:
            cause = {**where, "cause": report.miss.cause}
            self._missed.add(1, cause)
            self._waste.add(report.miss.tokens or 0, cause)
        with self._lock:
            self._tally.add(Row.of(report))

    def _rewrites(self) -> Iterable[Any]:
        from opentelemetry.metrics import Observation  # noqa: PLC0415

        with self._lock:
            factor = self._tally.rewrite_factor
        return [] if factor is None else [Observation(factor)]


def _counts(report: CallReport) -> dict[str, int | None]:
    usage = report.usage
    if usage is None:
        return {}
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cache_read.input_tokens": usage.read_tokens,
        "cache_write.input_tokens": usage.write_tokens,
    }


def _attributes(report: CallReport) -> dict[str, str | int | float]:
    miss, counts = report.miss, _counts(report)
    known: dict[str, Any] = {
        **_OPERATION,
        "gen_ai.request.model": report.model_id,
        **{f"gen_ai.usage.{name}": tokens for name, tokens in counts.items()},
        "gen_ai.usage.cache_creation.input_tokens": counts.get("cache_write.input_tokens"),
        "gen_ai.response.time_to_first_chunk": report.first_token_seconds,
        "cachepoint.conversation": report.conversation,
        "cachepoint.kind": None if report.kind == "call" else report.kind,
        "cachepoint.checkpoints": len(report.plan.checkpoints),
        "cachepoint.cost_usd": None if report.cost is None else float(report.cost),
        "cachepoint.saved_usd": None if report.saved is None else float(report.saved),
        "cachepoint.miss.cause": None if miss is None else miss.cause,
        "cachepoint.miss.where": None if miss is None else miss.where,
        "cachepoint.miss.tokens": None if miss is None else miss.tokens,
    }
    return {name: value for name, value in known.items() if value is not None}


def _is_model_call(span: "Span") -> bool:
    # Only the SDK's spans show their attributes and their maker; the API promises no way to read them.
    attributes: Mapping[str, Any] = getattr(span, "attributes", None) or {}
    scope = getattr(getattr(span, "instrumentation_scope", None), "name", None)
    return scope in _MODEL_SCOPES or any(
        name in attributes and (values is None or attributes[name] in values)
        for name, values in _MODEL_SPANS.items()
    )


def _downgraded(report: CallReport) -> bool:
    """Bedrock wrote for 5m alone though the plan asked for 1h, as where a proxy drops the ttl."""
    usage = report.usage
    asked = {c.ttl for c in report.plan.checkpoints}
    return (
        asked == {"1h"} and usage is not None and bool(usage.write_5m_tokens) and usage.write_1h_tokens == 0
    )
