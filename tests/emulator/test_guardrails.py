"""Guardrails: unknown ones are refused, known ones intervene."""

import json

import pytest
from botocore.exceptions import ClientError

from cachepoint.emulator import BedrockEmulator, Guardrail, Reply, ScriptedResponder
from tests.emulator import wire
from tests.emulator.bodies import body, invoke, stream, text, user, words
from tests.emulator.wire import NOVA, POINT, SONNET, cached

GUARD = Guardrail(words=("bomb", "Secret Plan"), blocked_input="Not in.", blocked_output="Not out.")
ID = "abc123"
ARN = f"arn:aws:bedrock:us-east-1:123456789012:guardrail/{ID}"
UNKNOWN = "The guardrail identifier or version provided in the request does not exist."
BAD = "How do I build a BOMB?"


@pytest.fixture
def bedrock():
    with BedrockEmulator(guardrails={ID: GUARD}) as bedrock:
        yield bedrock


def config(identifier=ID, version="1", **more):
    return {"guardrailIdentifier": identifier, "guardrailVersion": version, **more}


def converse(client, said, model=SONNET, guard=None, **more):
    return client.converse(
        modelId=model, messages=[wire.user({"text": said})], guardrailConfig=guard or config(), **more
    )


class TestUnknown:
    """A wrong version and a wrong id are told in the same words, whatever the API: measured in us-east-1, 2026."""

    @pytest.mark.parametrize(("identifier", "version"), [("zzz", "1"), (ID, "999")])
    def test_is_refused(self, client, bedrock, identifier, version):
        guard = config(identifier, version)
        for call in (
            lambda: converse(client, "hi", guard=guard),
            lambda: client.converse_stream(
                modelId=SONNET, messages=[wire.user({"text": "hi"})], guardrailConfig=guard
            ),
            lambda: invoke(client, SONNET, body(), **guard),
            lambda: stream(client, SONNET, body(), **guard),
        ):
            with pytest.raises(ClientError) as caught:
                call()
            assert caught.value.response["Error"] == {"Code": "ValidationException", "Message": UNKNOWN}
        assert {call.status for call in bedrock.calls} == {400}

    def test_without_any_all_are(self):
        request = {"messages": [wire.user({"text": "hi"})], "guardrailConfig": config()}
        with BedrockEmulator() as bare:
            assert wire.post(bare, request)[2]["message"] == UNKNOWN


class TestConverse:
    @pytest.mark.parametrize("identifier", [ID, ARN])
    @pytest.mark.parametrize("version", ["DRAFT", "1"])
    def test_what_has_none_of_the_words_passes(self, client, identifier, version):
        answer = converse(client, "How do I bake?", guard=config(identifier, version))
        assert answer["stopReason"] == "end_turn"
        assert "trace" not in answer

    def test_a_prompt_is_kept_out_with_counts_of_0(self, client, bedrock):
        """bedrock-access-gateway#107: all counts are 0, and nothing was cached."""
        system = [{"text": words(2000)}, POINT]
        answer = converse(client, BAD, system=system)
        assert answer["stopReason"] == "guardrail_intervened"
        assert answer["output"]["message"]["content"] == [{"text": "Not in."}]
        usage = answer["usage"]
        assert (usage["inputTokens"], usage["outputTokens"], usage["totalTokens"]) == (0, 0, 0)
        assert cached(usage) == (0, 0)
        assert cached(converse(client, "How do I bake?", system=system)["usage"]) == (0, 2000)
        assert bedrock.calls[0].usage["totalTokens"] == 0

    def test_a_stream_ends_with_it(self, client):
        events = list(
            client.converse_stream(
                modelId=SONNET, messages=[wire.user({"text": BAD})], guardrailConfig=config()
            )["stream"]
        )
        assert events[1]["contentBlockDelta"]["delta"] == {"text": "Not in."}
        assert events[-2] == {"messageStop": {"stopReason": "guardrail_intervened"}}
        assert events[-1]["metadata"]["usage"]["totalTokens"] == 0

    def test_what_the_model_says_is_kept_in_and_counted(self):
        with BedrockEmulator(
            guardrails={ID: GUARD}, responder=ScriptedResponder(["The secret plan is …"])
        ) as bedrock:
            client = wire.client(bedrock)
            answer = converse(client, "Well?", guard=config(trace="enabled"))
            client.close()
        assert answer["output"]["message"]["content"] == [{"text": "Not out."}]
        assert answer["stopReason"] == "guardrail_intervened"
        assert answer["usage"]["inputTokens"] > 0
        (assessment,) = answer["trace"]["guardrail"]["outputAssessments"][ID]
        assert assessment["wordPolicy"]["customWords"] == [{"match": "Secret Plan", "action": "BLOCKED"}]

    def test_its_trace_names_the_words(self, client):
        answer = converse(client, BAD, guard=config(trace="enabled"))
        found = answer["trace"]["guardrail"]["inputAssessment"][ID]["wordPolicy"]["customWords"]
        assert found == [{"match": "bomb", "action": "BLOCKED"}]

    def test_what_is_marked_alone_is_looked_at(self, bedrock, client):
        """AWS user guide, "Use a guardrail with the Converse API", 2026."""
        bedrock._service._responder = lambda _: Reply.text("So.")
        marked = {"guardContent": {"text": {"text": "How do I bake?"}}}
        for content, reason in (
            ([{"text": BAD}, marked], "end_turn"),
            ([{"guardContent": {"text": {"text": BAD}}}], "guardrail_intervened"),
        ):
            answer = client.converse(modelId=SONNET, messages=[wire.user(*content)], guardrailConfig=config())
            assert answer["stopReason"] == reason

    def test_what_tools_gave_is_looked_at(self, client):
        history = [
            wire.user({"text": "Look."}),
            wire.assistant(wire.use()),
            wire.user(wire.result("c1", {"text": BAD})),
        ]
        answer = client.converse(
            modelId=SONNET,
            messages=history,
            toolConfig={"tools": [wire.TOOL]},
            guardrailConfig=config(),
        )
        assert answer["stopReason"] == "guardrail_intervened"


class TestInvokeModel:
    """The answer of a model in form, with what the guardrail says in it: hermes-agent#107815, 2026-09."""

    def test_a_prompt_is_kept_out(self, client):
        said = invoke(client, SONNET, body(user(BAD)), **config(), trace="ENABLED")
        assert said["content"] == [{"type": "text", "text": "Not in."}]
        assert (said["stop_reason"], said["amazon-bedrock-guardrailAction"]) == ("end_turn", "INTERVENED")
        assert said["usage"]["input_tokens"] == said["usage"]["output_tokens"] == 0
        assert ID in said["amazon-bedrock-trace"]["guardrail"]["inputAssessment"]
        # InvokeModel writes it in capitals, Converse does not.
        silent = invoke(client, SONNET, body(user(BAD)), **config(), trace="DISABLED")
        assert "amazon-bedrock-trace" not in silent

    def test_so_is_a_stream(self, client):
        events = stream(client, SONNET, body(user(BAD)), **config())
        deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
        assert deltas == [{"type": "text_delta", "text": "Not in."}]
        assert events[-1]["amazon-bedrock-guardrailAction"] == "INTERVENED"

    def test_the_system_prompt_is_looked_at_too(self, client):
        said = invoke(client, SONNET, body(system=[text(BAD)]), **config())
        assert said["amazon-bedrock-guardrailAction"] == "INTERVENED"

    def test_what_passes_says_so(self, client):
        assert invoke(client, SONNET, body(), **config())["amazon-bedrock-guardrailAction"] == "NONE"
        assert "amazon-bedrock-guardrailAction" not in invoke(client, SONNET, body())

    def test_nova(self, client):
        request = {"messages": [{"role": "user", "content": [{"text": BAD}]}]}
        said = invoke(client, NOVA, request, **config())
        assert said["output"]["message"]["content"] == [{"text": "Not in."}]
        assert said["amazon-bedrock-guardrailAction"] == "INTERVENED"
        assert json.dumps(said["usage"]).count(": 0") == 5
