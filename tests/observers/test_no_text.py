"""No prompt text in any of the sinks, and none in what is made of them."""

import io
import json
import logging

import cachepoint
from cachepoint import PromptCache, observers
from cachepoint.emulator import Reply
from cachepoint.reporting.pictures import as_table, in_notebook
from tests.adapters.contract import CLAUDE
from tests.observers.test_otel import Telemetry

SECRET = "xyzzy"
NOISE = f"the {SECRET} of the house, at 2026-11-22 10:MM exactly, is kept behind the grey cover. " * 200


def request(minute):
    named = {"type": "object", "properties": {f"{SECRET}_key": {"type": "string", "description": SECRET}}}
    return {
        "modelId": CLAUDE,
        "system": [{"text": f"{SECRET} at 10:{minute}"}, {"text": NOISE.replace("MM", str(minute))}],
        "toolConfig": {
            "tools": [
                {
                    "toolSpec": {
                        "name": f"{SECRET}_tool",
                        "description": SECRET,
                        "inputSchema": {"json": named},
                    }
                }
            ]
        },
        "messages": [{"role": "user", "content": [{"text": f"What is {SECRET}? {NOISE}"}]}],
        "requestMetadata": {"user": SECRET},
    }


def test_the_secret_is_nowhere(bedrock, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    bedrock.say(lambda _: Reply.text(f"It is {SECRET}."))
    telemetry, metrics, path = Telemetry(), io.StringIO(), tmp_path / "calls.jsonl"
    sinks = [observers.log(), observers.jsonl(path), observers.emf(metrics), telemetry.observer()]
    cache = PromptCache(clock=bedrock.now, observers=sinks)
    with cachepoint.session() as s:
        for minute in (10, 10, 11, 12):
            call = cache.prepare(request(minute))
            cache.settle(call, bedrock.client().converse(**call.request))

    points = repr(telemetry.points)
    spans = "".join(span.to_json() for span in telemetry.spans)
    said = "".join(
        f"{r.getMessage()}{r.__dict__.get('cachepoint')}"
        for r in caplog.records
        if r.name.startswith("cachepoint")
    )
    made = (
        path.read_text(),
        metrics.getvalue(),
        spans,
        points,
        said,
        str(s),
        s.to_json(),
        in_notebook("x", s.tally),
        observers.page(s.tally),
        as_table(s.tally),
        json.dumps(s.as_dict()),
    )
    telemetry.tracers.shutdown()
    telemetry.meters.shutdown()

    assert s.calls == 4
    # Each has something to say of the calls.
    assert all(made)
    assert all("claude" in text for text in (path.read_text(), metrics.getvalue(), spans, points, said))
    assert SECRET in json.dumps([c.request for c in bedrock.calls])
    assert not [text for text in made if SECRET in text]
