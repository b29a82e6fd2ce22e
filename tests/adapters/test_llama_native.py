"""Native async: aioboto3 makes the client of every call, or `async_client=` gives it.

aioboto3 15.5 pins a boto3 that langchain-aws excludes, so these run in an environment of their own:

    uv venv /tmp/aio && uv pip install --python /tmp/aio -e ".[llama-index-async]" \\
        pytest pytest-asyncio pytest-recording pytest-benchmark pytest-codspeed
    /tmp/aio/bin/python -m pytest tests/adapters/test_llama_native.py
"""

import asyncio
import copy

import pytest

aioboto3 = pytest.importorskip("aioboto3", reason="aioboto3 pins another boto3 than langchain-aws")

from llama_index.llms.bedrock_converse import BedrockConverse  # noqa: E402

from cachepoint.aws.async_client import AsyncCachingClient  # noqa: E402
from cachepoint.aws.ttl import knows_ttl  # noqa: E402
from cachepoint.llama_index import CachedBedrockConverse, get_cache_usage_callback  # noqa: E402
from tests.adapters.contract import CLAUDE, LLAMA, MANUAL  # noqa: E402
from tests.adapters.llama_index_adapter import where  # noqa: E402
from tests.adapters.llama_index_shapes import (  # noqa: E402
    OPTIONS,
    TOOLS,
    called,
    message,
    point,
    prompts,
    result,
    tool_prompts,
)
from tests.adapters.test_contract import points  # noqa: E402
from tests.adapters.test_llama_events import agrees  # noqa: E402
from tests.conftest import DUMMIES, REGION  # noqa: E402

ASK = [message("system", MANUAL), message("user", "Where is the valve?")]
OLD = "this botocore knows no cacheDetails, so the split of writes by TTL is not known"


async def chat(model, messages, **call):
    return await model.achat(messages, **call)


async def stream(model, messages, **call):
    return [chunk async for chunk in await model.astream_chat(messages, **call)][-1]


async def chat_with_tools(model, messages, **call):
    return await model.achat_with_tools(TOOLS, chat_history=messages, **call)


async def stream_with_tools(model, messages, **call):
    chunks = await model.astream_chat_with_tools(TOOLS, chat_history=messages, **call)
    return [chunk async for chunk in chunks][-1]


WAYS = (chat, stream)
SHAPES = {
    **{f"{w.__name__}-{n}": (w, lambda n=n: prompts()[n], {}) for w in WAYS for n in prompts()},
    **{
        f"{w.__name__}-{n}": (w, lambda n=n: tool_prompts()[n], {})
        for w in (chat_with_tools, stream_with_tools)
        for n in tool_prompts()
    },
    **{
        f"{w.__name__}-{n}": (w, lambda: list(ASK), o)
        for w in (chat_with_tools, stream_with_tools)
        for n, o in OPTIONS.items()
    },
}


def session_client(bedrock):
    session = aioboto3.Session(
        aws_access_key_id=DUMMIES["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=DUMMIES["AWS_SECRET_ACCESS_KEY"],
        region_name=REGION,
    )
    return session.client("bedrock-runtime", endpoint_url=bedrock.url)


def outcome(bedrock, way, make, llm):
    bedrock.reset()
    try:
        asyncio.run(way(llm, make()))
        end = None
    except Exception as error:
        # aiobotocore makes the classes of its errors anew for every client.
        end = (type(error).__name__, str(error))
    return [(c.operation, c.path, c.body) for c in bedrock.calls], end


def test_there_are_forty_shapes():
    assert len(SHAPES) >= 40


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning")
@pytest.mark.parametrize("model", [CLAUDE, LLAMA])
@pytest.mark.parametrize(("way", "make", "options"), SHAPES.values(), ids=SHAPES)
def test_off_sends_the_bytes_of_the_base_class(way, make, options, model, bedrock, cache):
    """Off for Claude; nothing to do for Llama."""
    plain = BedrockConverse(model, **where(bedrock), **copy.deepcopy(options))
    expected = outcome(bedrock, way, make, plain)
    policy = "off" if model == CLAUDE else None
    ours = CachedBedrockConverse(
        model, **where(bedrock), **copy.deepcopy(options), prompt_cache=cache, cache_policy=policy
    )
    assert outcome(bedrock, way, make, ours) == expected
    assert expected[0]


@pytest.fixture(params=["session", "async_client"])
def use(request, bedrock, cache):
    """Runs a coroutine with a model whose client is upstream's session's, or one that is given."""

    def run(body, **options):
        async def given():
            async with session_client(bedrock) as client:
                return await body(build(async_client=client))

        def build(**more):
            return CachedBedrockConverse(CLAUDE, **where(bedrock), prompt_cache=cache, **options, **more)

        async def made():
            return await body(build())

        return asyncio.run(given() if request.param == "async_client" else made())

    return run


@pytest.mark.parametrize("way", [chat, stream])
def test_a_conversation_reads_what_came_before(way, use, bedrock):
    async def body(llm):
        messages, shares = list(ASK), []
        for n in range(4):
            response = await way(llm, messages)
            usage = response.additional_kwargs["cachepoint"]["usage"]
            shares.append((usage["read_tokens"], usage["read_tokens"] + usage["write_tokens"]))
            messages += [response.message, message("user", f"And then {n}?")]
        return shares

    shares = use(body)
    assert shares[0][1] > 1_024
    assert [now[0] for now in shares[1:]] == [before[1] for before in shares[:-1]]


@pytest.mark.parametrize("way", [chat_with_tools, stream_with_tools])
def test_an_hour_stays_an_hour_everywhere(way, use, bedrock):
    messages = [
        message("system", MANUAL, point("1h")),
        message("user", "First: " + MANUAL, point("1h")),
        message("assistant", *called("a")),
        result("a", MANUAL, point("1h")),
    ]
    before = copy.deepcopy(messages)
    use(lambda llm: way(llm, messages))
    request = bedrock.answered[-1].request
    hour = {"cachePoint": {"type": "default", "ttl": "1h"}}
    assert request["system"][1] == request["messages"][0]["content"][1] == hour
    assert request["messages"][2]["content"][1] == hour
    assert messages == before
    assert {d["ttl"] for d in bedrock.answered[-1].usage["cacheDetails"]} >= {"1h"}


def test_flags_double_nothing(use, bedrock):
    async def body(llm):
        for _ in range(3):
            await chat_with_tools(llm, list(ASK))

    use(body, tool_caching=True, system_prompt_caching=True)
    request = bedrock.answered[-1].request
    assert sum("cachePoint" in t for t in request["toolConfig"]["tools"]) == 1
    assert sum("cachePoint" in t for t in request["system"]) == 1


def test_usage_adds_up(use, bedrock):
    async def body(llm):
        await asyncio.gather(*(way(llm, list(ASK)) for way in (chat, stream) * 3))

    with get_cache_usage_callback() as usage:
        use(body)
    assert agrees(usage, bedrock)


def test_a_stream_that_is_left_early_is_abandoned(use, cache, monkeypatch):
    left = []

    async def abandoned(call):
        left.append(call)

    monkeypatch.setattr(cache, "aabandon", abandoned)

    async def body(llm):
        chunks = await llm.astream_chat(list(ASK))
        await anext(chunks)
        await chunks.aclose()

    use(body)
    # Python finalises the generators below when the loop ends.
    assert len(left) == 1


def test_sync_and_async_share_what_they_know(bedrock, cache):
    llm = CachedBedrockConverse(CLAUDE, **where(bedrock), prompt_cache=cache)
    llm.chat(ASK)
    response = asyncio.run(llm.achat(ASK))
    assert response.additional_kwargs["cachepoint"]["usage"]["read_tokens"] > 1_024
    assert response.additional_kwargs["cachepoint"]["expected_read_tokens"] is not None


def test_the_client_by_itself(bedrock, cache):
    request = {
        "modelId": CLAUDE,
        "system": [{"text": MANUAL}],
        "messages": [{"role": "user", "content": [{"text": "hi"}]}],
    }

    async def body():
        async with session_client(bedrock) as plain:
            client = AsyncCachingClient(plain, cache=cache, policy={"ttl": "1h"})
            assert client.meta is plain.meta
            first = await client.converse(**request)
            second = await client.converse_stream(**request)
            assert [e async for e in second["stream"]][-1]["metadata"]
            off = await client.converse(**request, cache_policy="off")
            with pytest.raises(Exception, match="modelId"):
                await client.converse(messages=[])
            return [r["ResponseMetadata"]["cachepoint"] for r in (first, second, off)]

    first, second, off = asyncio.run(body())
    assert second.usage.read_tokens == first.usage.write_tokens > 1_024
    assert {p.get("ttl") for p in points(bedrock.answered[0].request)} == {"1h"}
    assert off.plan.checkpoints == ()


def test_what_an_old_botocore_leaves_unknown(bedrock, cache):
    if knows_ttl(bedrock.client()):
        pytest.skip(reason="this botocore knows cacheDetails")
    llm = CachedBedrockConverse(CLAUDE, **where(bedrock), prompt_cache=cache, cache_policy={"ttl": "1h"})
    usage = asyncio.run(llm.achat(ASK)).additional_kwargs["cachepoint"]["usage"]
    assert usage["write_tokens"] > 1_024
    assert usage["write_1h_tokens"] is None, OLD
