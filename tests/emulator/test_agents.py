"""Agents of both frameworks, with the frameworks' own classes, come to an end whatever answers them."""

import asyncio

import pytest

from cachepoint.emulator import AutoResponder, BedrockEmulator, TextResponder, ToolResponder
from tests.emulator import wire
from tests.emulator.wire import SONNET

LIMIT = 60
TASK = "Look up the stock of 'valves', of 'pumps' and of 'hoses'."


class Called:
    """Two tools, and how often they were called."""

    def __init__(self):
        self.times = 0

    def look_up(self, part: str) -> str:
        """Look up a part in the stock."""
        self.times += 1
        return f"There are 3 of {part} in stock."

    def order(self, part: str) -> str:
        """Order a part from its maker."""
        self.times += 1
        return f"{part} is ordered."


@pytest.fixture
def parts():
    return Called()


def emulator(responder):
    return BedrockEmulator(responder=responder)


class TestLangChain:
    @pytest.fixture(autouse=True)
    def _present(self):
        pytest.importorskip("langchain_aws", reason="the LangChain extra is not installed")
        pytest.importorskip("langchain.agents", reason="langchain is not installed")

    @staticmethod
    def run(responder, tools, middleware=(), **options):
        from langchain.agents import create_agent
        from langchain_aws import ChatBedrockConverse

        with emulator(responder) as bedrock:
            client = wire.client(bedrock)
            model = ChatBedrockConverse(
                client=client, bedrock_client=wire.client(bedrock, "bedrock"), model=SONNET
            )
            agent = create_agent(model, tools, middleware=[make(model) for make in middleware], **options)
            answer = agent.invoke({"messages": [("user", TASK)]}, {"recursion_limit": LIMIT})
            client.close()
        assert all(call.status == 200 for call in bedrock.calls)
        return answer, len(bedrock.calls)

    @staticmethod
    def structured(**fields):
        from langchain.agents.structured_output import ToolStrategy
        from pydantic import create_model

        return ToolStrategy(create_model("Verdict", parts=(list[str], ...), enough=(bool, ...), **fields))

    @staticmethod
    def summarises(keep):
        from langchain.agents.middleware import SummarizationMiddleware

        return lambda model: SummarizationMiddleware(model, trigger=("messages", 5), keep=("messages", keep))

    @pytest.mark.parametrize(
        ("responder", "times"),
        [
            (AutoResponder(), 2),
            (ToolResponder(), 2),
            (ToolResponder(steps=5), 5),
            (ToolResponder(["order"], steps=3), 3),
        ],
        ids=["auto", "1 step", "5 steps", "one tool of two"],
    )
    def test_a_tool_strategy_ends_with_its_form_filled(self, responder, times, parts):
        answer, calls = self.run(
            responder, [parts.look_up, parts.order], response_format=self.structured(note=(str | None, None))
        )
        assert answer["structured_response"].enough is True
        assert (parts.times, calls) == (times, times + 1)

    def test_parallel_calls_end_with_its_form_filled_once(self, parts):
        answer, calls = self.run(
            ToolResponder(steps=3, parallel=4),
            [parts.look_up, parts.order],
            response_format=self.structured(),
        )
        assert answer["structured_response"].enough is True
        assert (parts.times, calls) == (12, 4)

    @pytest.mark.parametrize("keep", [1, 2, 4])
    def test_rounds_that_are_summarised_away_were_rounds(self, keep, parts):
        answer, _ = self.run(ToolResponder(steps=7), [parts.look_up], middleware=[self.summarises(keep)])
        assert parts.times == 7
        assert answer["messages"][-1].text

    @pytest.mark.parametrize("keep", [1, 2, 4])
    @pytest.mark.parametrize(
        "responder", [AutoResponder(), ToolResponder(), ToolResponder(steps=7)], ids=["auto", "1", "7"]
    )
    def test_a_tool_strategy_ends_beside_summaries(self, keep, responder, parts):
        tools = [parts.look_up, parts.order]
        answer, _ = self.run(
            responder, tools, middleware=[self.summarises(keep)], response_format=self.structured()
        )
        assert answer["structured_response"].enough is True
        assert parts.times <= 7


class TestLlamaIndex:
    @pytest.fixture(autouse=True)
    def _present(self):
        pytest.importorskip("llama_index.llms.bedrock_converse", reason="LlamaIndex is not installed")

    pytestmark = pytest.mark.filterwarnings(
        # llama-index-workflows 2.26.1 looks through all members of an agent, deprecated ones of pydantic among them.
        "ignore:The `(__fields__|__fields_set__|model_fields|model_computed_fields)`",
        "ignore:Accessing the 'model_",
        "ignore:.*was deleted before being closed:ResourceWarning",
        "ignore:is_running called from within a step",
        "ignore:Skipping serialization of known unserializable key",
    )

    @staticmethod
    def run(responder, kind, tools, **options):
        from llama_index.core.agent import workflow
        from llama_index.core.tools import FunctionTool
        from llama_index.llms.bedrock_converse import BedrockConverse

        with emulator(responder) as bedrock:
            client = wire.client(bedrock)
            llm = BedrockConverse(model=SONNET, client=client)
            made = [FunctionTool.from_defaults(tool) for tool in tools]
            agent = getattr(workflow, kind)(llm=llm, tools=made, **options)

            async def ask():
                return await agent.run(TASK, max_iterations=LIMIT)

            answer = asyncio.run(ask())
            client.close()
        assert all(call.status == 200 for call in bedrock.calls)
        return answer, bedrock.calls

    @pytest.mark.parametrize("streaming", [True, False])
    @pytest.mark.parametrize("kind", ["FunctionAgent", "ReActAgent"])
    @pytest.mark.parametrize(
        ("responder", "times"),
        [(TextResponder(), 0), (AutoResponder(), 1), (ToolResponder(), 1), (ToolResponder(steps=5), 5)],
        ids=["text", "auto", "1 step", "5 steps"],
    )
    def test_an_agent_ends_with_an_answer(self, kind, responder, times, streaming, parts):
        answer, calls = self.run(responder, kind, [parts.look_up, parts.order], streaming=streaming)
        assert (parts.times, len(calls)) == (times, times + 1)
        said = str(answer.response.content)
        assert said
        assert not {"Thought:", "Action:", "Answer:"} & set(said.split())
        assert ("in stock" in said or "is ordered" in said) == (times > 0)

    def test_an_agent_with_an_output_class_gets_it_filled(self, parts):
        from pydantic import create_model

        verdict = create_model("Verdict", note=(str, ...), enough=(bool, ...))
        answer, _ = self.run(ToolResponder(steps=2), "FunctionAgent", [parts.look_up], output_cls=verdict)
        assert parts.times == 2
        assert answer.get_pydantic_model(verdict).enough is True

    def test_a_react_agent_gets_arguments_that_its_tools_take(self, parts):
        _, calls = self.run(ToolResponder(), "ReActAgent", [parts.look_up])
        thought = calls[1].request["messages"][-2]["content"][0]["text"]
        assert thought.startswith("Thought: ")
        assert "Action: look_up" in thought
        assert "{'part': 'valves'}" in thought
