"""CPU of prepare + settle beside the CPU of one plain `ChatBedrockConverse.invoke`, in one process.

A conversation of 200 messages and about 100,000 tokens as it comes round for the 100th turn: the
transcript is known, one turn is new. The emulator answers in this process. The invoke is measured
twice: all CPU of the process, and that of the calling thread alone, without the emulator's work.

    python benchmarks/overhead.py [--json]
"""

import json
import statistics
import sys
import time

import boto3
from langchain_aws import ChatBedrockConverse
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

from cachepoint import CachePolicy, PromptCache
from cachepoint.emulator import BedrockEmulator, Reply

MODEL = "us.anthropic.claude-sonnet-4-6"
MESSAGES = 200
BYTES_A_MESSAGE = 2_000
ROUNDS = 30
WORDS = "every request is read as ordered blocks and each block has a digest of all up to it "


def transcript(messages: int) -> list[BaseMessage]:
    def text(i: int) -> str:
        return f"{i}: " + (WORDS * (BYTES_A_MESSAGE // len(WORDS)))

    turns = [HumanMessage(text(i)) if i % 2 == 0 else AIMessage(text(i)) for i in range(messages)]
    return [SystemMessage(text(-1)), *turns]


def cpu(run, clock=time.thread_time) -> float:
    """Median seconds of CPU."""
    spent = []
    for _ in range(ROUNDS):
        start = clock()
        run()
        spent.append(clock() - start)
    return statistics.median(spent)


def main() -> None:
    seen = []
    with BedrockEmulator(responder=lambda _: Reply.text("ok")) as bedrock:
        client = boto3.client(
            "bedrock-runtime",
            endpoint_url=bedrock.url,
            region_name="us-east-1",
            aws_access_key_id="x",
            aws_secret_access_key="x",
        )
        control = boto3.client(
            "bedrock",
            endpoint_url=bedrock.url,
            region_name="us-east-1",
            aws_access_key_id="x",
            aws_secret_access_key="x",
        )
        llm = ChatBedrockConverse(model=MODEL, client=client, bedrock_client=control)
        messages = transcript(MESSAGES - 1)
        client.meta.events.register_first(
            "before-parameter-build.bedrock-runtime.Converse",
            lambda params, **_: seen.append(params),
        )
        llm.invoke(messages)
        usage = client.converse(**seen[0])
        thread = cpu(lambda: llm.invoke(messages))
        process = cpu(lambda: llm.invoke(messages), time.process_time)

    request = {k: v for k, v in seen[0].items() if k != "modelId"}
    cache = PromptCache(policy=CachePolicy())
    earlier = {**request, "messages": request["messages"][:-2]}
    cache.settle(cache.prepare(earlier, model_id=MODEL), usage)

    def ours() -> None:
        cache.settle(cache.prepare(request, model_id=MODEL), usage)

    spent = cpu(ours)
    figures = {
        "messages": MESSAGES,
        "input_tokens": usage["usage"]["inputTokens"],
        "prepare_settle_ms": round(spent * 1000, 2),
        "plain_invoke_ms": round(process * 1000, 2),
        "plain_invoke_calling_thread_ms": round(thread * 1000, 2),
        "share": round(spent / process, 4),
        "share_of_calling_thread": round(spent / thread, 4),
    }
    if "--json" in sys.argv:
        print(json.dumps(figures))
        return
    print(
        f"{MESSAGES} messages, {figures['input_tokens']:,} tokens: prepare + settle take "
        f"{figures['prepare_settle_ms']} ms of CPU; a plain invoke {figures['plain_invoke_ms']} ms "
        f"({spent / process:.1%}), of it {figures['plain_invoke_calling_thread_ms']} ms "
        f"in the calling thread ({spent / thread:.1%})"
    )


if __name__ == "__main__":
    main()
