"""OpenTelemetry beside the three instrumentations that trace a Bedrock client: each is imitated by its spans.

What each does was read in its source (2026-11): when it begins its span, whether the span is current, what
attributes it has from the start, and when it ends.
"""

import gc
import importlib
from types import SimpleNamespace

import pytest
from opentelemetry import trace

from cachepoint import PromptCache, observers
from cachepoint.aws import CachingClient
from cachepoint.aws.inside import heard, listen
from cachepoint.core.listeners import sending
from tests.adapters.contract import CLAUDE, MANUAL
from tests.observers.test_otel import Telemetry

# The package has a function of that name.
otel = importlib.import_module("cachepoint.observers.otel")
REQUEST = {
    "modelId": CLAUDE,
    "system": [{"text": MANUAL}],
    "messages": [{"role": "user", "content": [{"text": "Where is the valve?"}]}],
}
CHAT = {"gen_ai.system": "aws.bedrock", "gen_ai.operation.name": "chat", "rpc.method": "Converse"}


class Proxy:
    """As wrapt's ObjectProxy: it passes on what is asked of it and what is set on it."""

    def __init__(self, stream, ended):
        object.__setattr__(self, "_inner", stream)
        object.__setattr__(self, "_ended", ended)

    def __getattr__(self, name):
        return getattr(self._inner, name)

    def __setattr__(self, name, value):
        setattr(self._inner, name, value)


class EndsAtMetadata(Proxy):
    """Ends its span when the `metadata` event comes by, before it is passed on."""

    def __iter__(self):
        for event in self._inner:
            if "metadata" in event:
                self._ended()
            yield event


class EndsWhenExhausted(Proxy):
    """Ends its span once there are no more events."""

    def __iter__(self):
        yield from self._inner
        self._ended()


class Traced:
    """A client with one of the instrumentations around it."""

    def __init__(self, client, tracer):
        self._client, self._tracer = client, tracer

    def __getattr__(self, name):
        return getattr(self._client, name)


class Botocore(Traced):
    """opentelemetry-instrumentation-botocore: current, told from the start; usage is set after the answer."""

    def converse(self, **request):
        with self._tracer.start_as_current_span("chat", attributes=CHAT) as span:
            response = self._client.converse(**request)
            span.set_attribute("gen_ai.usage.output_tokens", response["usage"]["outputTokens"])
            return response

    def converse_stream(self, **request):
        with self._tracer.start_as_current_span("chat", attributes=CHAT, end_on_exit=False) as span:
            response = self._client.converse_stream(**request)
            response["stream"] = EndsAtMetadata(response["stream"], span.end)
            return response


class OpenInference(Traced):
    """openinference-instrumentation-bedrock: current, its kind is set before the call."""

    def converse(self, **request):
        with self._tracer.start_as_current_span("bedrock.converse") as span:
            span.set_attribute("openinference.span.kind", "LLM")
            return self._client.converse(**request)

    def converse_stream(self, **request):
        span = self._tracer.start_span("bedrock.converse_stream")
        span.set_attribute("openinference.span.kind", "LLM")
        with trace.use_span(span, end_on_exit=False):
            response = self._client.converse_stream(**request)
        response["stream"] = EndsWhenExhausted(response["stream"], span.end)
        return response


class OpenLLMetry(Traced):
    """opentelemetry-instrumentation-bedrock: nothing is set before the answer, and a stream's is not current."""

    def converse(self, **request):
        with self._tracer.start_as_current_span("bedrock.converse") as span:
            response = self._client.converse(**request)
            span.set_attribute("llm.request.type", "chat")
            return response

    def converse_stream(self, **request):
        span = self._tracer.start_span("bedrock.converse")
        response = self._client.converse_stream(**request)
        span.set_attribute("llm.request.type", "chat")
        stream = response["stream"]
        parse = stream._parse_event

        def parsed(raw):
            event = parse(raw)
            if event and "metadata" in event:
                span.end()
            return event

        stream._parse_event = parsed
        return response


SCOPES = {
    Botocore: "opentelemetry.instrumentation.botocore.bedrock-runtime",
    OpenInference: "openinference.instrumentation.bedrock",
    OpenLLMetry: "opentelemetry.instrumentation.bedrock",
}


@pytest.fixture
def telemetry():
    telemetry = Telemetry()
    yield telemetry
    telemetry.tracers.shutdown()
    telemetry.meters.shutdown()


@pytest.fixture(params=SCOPES, ids=lambda kind: kind.__name__)
def traced(request, bedrock, telemetry):
    """A client that one of them traces, and below it, as there always is, a span per request over HTTP."""
    tracer = telemetry.tracers.get_tracer(SCOPES[request.param])
    return request.param(Http(bedrock.client(), telemetry.tracers.get_tracer("urllib3")), tracer)


class Http(Traced):
    def converse(self, **request):
        return self._post(self._client.converse, request)

    def converse_stream(self, **request):
        return self._post(self._client.converse_stream, request)

    def _post(self, send, request):
        with self._tracer.start_as_current_span("POST", attributes={"http.method": "POST"}, end_on_exit=True):
            pass
        return send(**request)


def ask(client, streamed):
    if not streamed:
        return client.converse(**REQUEST)["ResponseMetadata"]["cachepoint"]
    response = client.converse_stream(**REQUEST)
    list(response["stream"])
    return response["ResponseMetadata"]["cachepoint"]


@pytest.mark.parametrize("streamed", [False, True], ids=["converse", "stream"])
@pytest.mark.parametrize("spans", ["auto", "current"])
def test_c6_the_figures_are_on_their_span_and_there_is_no_second_one(
    bedrock, telemetry, traced, spans, streamed
):
    """C6: whichever of them traces the client, and whatever `spans` is."""
    seen = []
    cache = PromptCache(clock=bedrock.now, observers=[telemetry.observer(spans=spans), seen.append])
    client = CachingClient(traced, cache=cache)

    with telemetry.tracer.start_as_current_span("request"):
        report = ask(client, streamed)
        again = ask(client, streamed)

    chats = [span for span in telemetry.spans if span.name not in {"POST", "request"}]
    assert len(chats) == 2
    assert len(seen) == 2
    assert (chats[0].attributes["gen_ai.usage.cache_write.input_tokens"]) == report.usage.write_tokens > 0
    assert (chats[1].attributes["gen_ai.usage.cache_read.input_tokens"]) == again.usage.read_tokens > 0
    assert all("cachepoint.cost_usd" in span.attributes for span in chats)
    others = [span for span in telemetry.spans if span not in chats]
    assert not [name for span in others for name in span.attributes or () if "usage" in name]
    tokens = telemetry.value("gen_ai.client.inference.usage.input_tokens")[0]
    assert tokens == report.usage.input_tokens + again.usage.input_tokens


@pytest.mark.parametrize("streamed", [False, True], ids=["converse", "stream"])
def test_c6_without_any_of_them_there_is_one_span_of_ours(bedrock, telemetry, streamed):
    """C6: a span over HTTP is no span of a model call."""
    raw = Http(bedrock.client(), telemetry.tracers.get_tracer("urllib3"))
    cache = PromptCache(clock=bedrock.now, observers=[telemetry.observer()])
    client = CachingClient(raw, cache=cache)

    with telemetry.tracer.start_as_current_span("request") as parent:
        ask(client, streamed)

    (ours,) = (span for span in telemetry.spans if span.name.startswith("chat "))
    assert ours.parent.span_id == parent.get_span_context().span_id
    (post,) = (span for span in telemetry.spans if span.name == "POST")
    assert not [name for name in post.attributes if "gen_ai" in name]


@pytest.mark.parametrize("streamed", [False, True], ids=["converse", "stream"])
def test_c6_a_span_around_the_whole_call(bedrock, telemetry, streamed):
    """C6: one that the user's own code opens."""
    cache = PromptCache(clock=bedrock.now, observers=[telemetry.observer(spans="current")])
    client = CachingClient(bedrock.client(), cache=cache)

    with telemetry.tracer.start_as_current_span("mine", attributes={"gen_ai.operation.name": "chat"}):
        report = ask(client, streamed)

    (mine,) = telemetry.spans
    assert mine.attributes["gen_ai.usage.cache_write.input_tokens"] == report.usage.write_tokens


def test_c6_a_span_that_has_ended_is_not_made_a_second_time(telemetry):
    """C6: what can no longer be set is left out, and tokens do not count twice."""
    from tests.observers.reports import report

    observer = telemetry.observer()
    span = telemetry.tracer.start_span("theirs", attributes=CHAT)
    span.end()
    with trace.use_span(span):
        observer(report(100, 50))

    assert [span.name for span in telemetry.spans] == ["theirs"]


def test_c6_a_provider_that_is_set_later_is_watched_too(bedrock, telemetry, monkeypatch):
    """C6: the observer is made before the program sets its tracer provider."""
    late = SimpleNamespace(get=trace.ProxyTracerProvider())
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: late.get)
    observer = observers.otel(meter_provider=telemetry.meters)
    late.get = telemetry.tracers
    client = OpenLLMetry(bedrock.client(), telemetry.tracers.get_tracer(SCOPES[OpenLLMetry]))
    cached = CachingClient(client, cache=PromptCache(clock=bedrock.now, observers=[observer]))
    ask(cached, streamed=False)
    ask(cached, streamed=True)

    assert [span.name for span in telemetry.spans] == ["bedrock.converse"] * 2
    assert all("cachepoint.cost_usd" in span.attributes for span in telemetry.spans)


def test_d7_a_provider_is_watched_once_and_spans_go_with_their_call(bedrock, telemetry, traced):
    """D7: an observer per request, and calls without end."""
    for _ in range(5):
        telemetry.observer()
    client = CachingClient(traced, cache=PromptCache(clock=bedrock.now, observers=[telemetry.observer()]))
    for _ in range(3):
        ask(client, streamed=False)
        ask(client, streamed=True)
    gc.collect()

    assert len(telemetry.tracers._active_span_processor._span_processors) == 2
    assert len(otel._begun) == 0


@pytest.mark.parametrize("seconds", [1.5, -1.0, 1e12, float("nan"), float("inf"), None])
def test_a5_a_strange_clock_makes_a_span_all_the_same(telemetry, seconds):
    """A5: a millisecond clock, one that goes backwards, or one that failed."""
    from tests.observers.reports import report

    telemetry.observer()(report(seconds=seconds))
    (span,) = telemetry.spans

    assert 0 <= span.start_time <= span.end_time


def test_c6_seconds_have_the_bounds_of_the_conventions(telemetry):
    """C6: not the SDK's own, which are for milliseconds."""
    from tests.observers.reports import report

    telemetry.observer(spans="off")(report(seconds=1.5, first_token_seconds=0.5))
    for name in ("duration", "time_to_first_chunk"):
        (point,) = telemetry.points[f"gen_ai.client.inference.{name}"]
        assert point.explicit_bounds[0] == 0.01
        assert point.explicit_bounds[-1] == 81.92


class TestInside:
    """What hears botocore, by itself."""

    def test_what_is_heard_comes_before_the_client_returns(self, bedrock):
        order, raw = [], bedrock.client()
        with heard(raw, lambda parsed: order.append(sorted(parsed))):
            raw.converse(**REQUEST)
            order.append("returned")

        assert order[-1] == "returned"
        assert "usage" in order[0]
        assert sending.get() is None

    def test_nothing_is_heard_outside_the_block_and_of_errors(self, bedrock):
        heard_of, raw = [], bedrock.client()
        with heard(raw, heard_of.append), pytest.raises(Exception, match="must start with a user message"):
            raw.converse(modelId=CLAUDE, messages=[])
        raw.converse(**REQUEST)

        assert heard_of == []

    def test_a_listener_that_raises_fails_no_call(self, bedrock):
        raw = bedrock.client()
        with heard(raw, lambda parsed: 1 / 0):
            assert raw.converse(**REQUEST)["usage"]
        with heard(raw, lambda parsed: 1 / 0):
            stream = raw.converse_stream(**REQUEST)["stream"]
        listen(stream, lambda event: 1 / 0)

        assert "metadata" in list(stream)[-1]

    @pytest.mark.parametrize("client", [object(), SimpleNamespace(meta=None)])
    def test_what_has_no_events_is_let_alone(self, client):
        with heard(client, lambda parsed: None):
            listen(iter(()), lambda event: None)

    def test_a_stream_that_nobody_listens_to_is_as_it_was(self, bedrock):
        raw = bedrock.client()
        with heard(raw, lambda parsed: None):
            stream = raw.converse_stream(**REQUEST)["stream"]

        assert "metadata" in list(stream)[-1]
