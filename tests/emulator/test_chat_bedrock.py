"""langchain_aws' own `ChatBedrock`, which speaks InvokeModel, against the emulator."""

import pytest
from langchain_aws import ChatBedrock
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from pydantic import BaseModel

from tests.emulator.bodies import HOUR, MARK, words
from tests.emulator.wire import NOVA, SONNET, client

MANUAL = [{"type": "text", "text": words(2000), **MARK}]


@tool
def get_weather(location: str) -> str:
    """Get the weather at a location."""
    return f"sunny in {location}"


class City(BaseModel):
    """A city."""

    name: str


@pytest.fixture
def llm(bedrock):
    runtime = client(bedrock)
    yield lambda model=SONNET, **more: ChatBedrock(model=model, client=runtime, max_tokens=200, **more)
    runtime.close()


def cached(message):
    details = message.usage_metadata["input_token_details"]
    return details["cache_read"], details["cache_creation"]


def test_invoke_reads_what_it_wrote(llm, bedrock):
    asked = [SystemMessage(MANUAL), HumanMessage("What now?")]
    first, second = (llm().invoke(asked) for _ in range(2))
    assert first.content == "You asked: What now?"
    assert (cached(first), cached(second)) == ((0, 2000), (2000, 0))
    assert {call.operation for call in bedrock.calls} == {"InvokeModel"}
    assert first.response_metadata["stop_reason"] == "end_turn"


def test_a_stream_reads_it_too(llm, bedrock):
    asked = [SystemMessage(MANUAL), HumanMessage("What is there to say of it? " * 3)]
    whole = llm().invoke(asked)
    chunks = list(llm().stream(asked))
    assert len(chunks) > 3
    together = sum(chunks[1:], chunks[0])
    assert together.text == whole.text
    assert cached(together) == (2000, 0)
    assert together.usage_metadata["output_tokens"] == whole.usage_metadata["output_tokens"]
    assert bedrock.calls[-1].operation == "InvokeModelWithResponseStream"


async def test_async(llm):
    asked = [SystemMessage(MANUAL), HumanMessage("What now?")]
    assert cached(await llm().ainvoke(asked)) == (0, 2000)
    chunks = [chunk async for chunk in llm().astream(asked)]
    assert cached(sum(chunks[1:], chunks[0])) == (2000, 0)


@pytest.mark.parametrize("way", ["invoke", "stream"])
def test_tools_are_called_and_answered(llm, way):
    model = llm().bind_tools([get_weather])
    history = [HumanMessage("What is the weather in Rome?")]

    def said():
        if way == "invoke":
            return model.invoke(history)
        chunks = list(model.stream(history))
        return sum(chunks[1:], chunks[0])

    call = said()
    (asked,) = call.tool_calls
    assert (asked["name"], asked["args"].keys()) == ("get_weather", {"location"})
    history += [
        AIMessage(content=call.content, tool_calls=call.tool_calls),
        ToolMessage(get_weather.invoke(asked["args"]), tool_call_id=asked["id"]),
    ]
    assert "sunny" in said().text


def test_structured_output(llm):
    city = llm().with_structured_output(City).invoke("Which city is Rome?")
    assert isinstance(city, City)


def test_thinking(llm):
    thinking = {"thinking": {"type": "enabled", "budget_tokens": 1024}}
    model = llm(model_kwargs=thinking)
    said = model.invoke("What now?")
    assert said.content[0]["type"] == "thinking"
    again = model.invoke([HumanMessage("What now?"), said, HumanMessage("And then?")])
    assert again.content[-1]["type"] == "text"
    chunks = list(model.stream("What now?"))
    assert sum(chunks[1:], chunks[0]).text == said.text


def test_its_own_counting(llm):
    """langchain-aws#661, 2025-09: CountTokens with the body of InvokeModel, and the id without its area."""
    assert llm().get_num_tokens_from_messages([HumanMessage(words(300))]) > 300


def test_a_tool_with_a_checkpoint_of_an_hour(llm, bedrock):
    long = {
        "name": "look_up",
        "description": words(2000),
        "input_schema": {"type": "object", "properties": {}},
    }
    usage = [llm().invoke("Say.", tools=[{**long, **HOUR}]).usage_metadata for _ in range(2)]
    assert usage[1]["input_token_details"]["cache_read"] > 2000
    (detail,) = bedrock.calls[0].usage["cacheDetails"]
    assert detail["ttl"] == "1h"


def test_nova(llm):
    said = llm(NOVA).invoke("What now?")
    assert said.text == "You asked: What now?"
    assert said.usage_metadata["input_tokens"] > 0
