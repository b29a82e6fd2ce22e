"""What hurts by size: each input, and four times of it, each in a process of its own.

CPU of 20 calls whose inputs are all new, median and worst in ms, and how many times the median it takes for
four times the input; all garbage of the process is collected between them. Then `prepare("hi")` on the wall
clock, alone and beside a thread that prepares large requests.

    python benchmarks/hostile.py [D1 D4 ...] [--loose] [--json]

It ends with an error where four times the input takes more than five times as long; where one of 20 calls of
400 kB of text, 1,000 blocks or 2,000 announced documents takes more than 50 ms; where `prepare("hi")` beside
a heavy thread takes more than twice what it takes alone plus the interpreter's switch interval; or where
memory outgrows 64 MB. `--loose`, for machines that others use too, looks at medians alone and doubles the
bounds.
"""

import argparse
import copy
import gc
import json
import logging
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from threading import Thread, Timer
from typing import Any

from measure import resident, timed
from prompts import MODEL, message, request, text, tool_pair, turn

from cachepoint import PromptCache, documents

TIMES, FACTOR, GROWTH = 20, 4, 5.0
BOUND_MS, BOUND_MB = 50.0, 64.0
# No step is begun after so many seconds of them, and either size of a case has this long at all.
ENOUGH, LIMIT = 10.0, 60.0
# Below this the clock and what is the same for every size are measured, not the size.
FLOOR_MS = 0.2
HI = request("system", "hi")
NOVA = "us.amazon.nova-pro-v1:0"

Steps = Generator[Callable[[], object], None, None]


def prepared(make: Callable[[int], dict[str, Any]]) -> Steps:
    """A new request in each call of one process."""
    cache = PromptCache()
    for i in range(TIMES):
        yield partial(turn, cache, make(i))


# Each case takes the size of its input and yields what is timed; what it does in between is not.


def text_of(unit: str, size: int) -> Steps:
    body = unit * (size // len(unit))
    return prepared(lambda i: request(f"{i}\n{body}", "hi"))


def blocks(size: int) -> Steps:
    return prepared(lambda i: request("system", *(text(f"{i} {n}", 100) for n in range(size))))


def tool_blocks(size: int) -> Steps:
    def make(i: int) -> dict[str, Any]:
        pairs = [m for n in range(size // 2) for m in tool_pair(1_000_000 * i + n, 400)]
        return {"messages": [message("user", {"text": "go on"}), *pairs]}

    return prepared(make)


def known_tool_blocks(size: int) -> Steps:
    """What was there a turn ago, in dicts that are new."""
    cache = PromptCache()
    asked = {"messages": [message("user", {"text": "go on"})]}
    for n in range(size // 2):
        asked["messages"] += tool_pair(n, 400)
    turn(cache, asked)
    for i in range(TIMES):
        asked = copy.deepcopy(asked)
        asked["messages"] += tool_pair(size + i, 400)
        yield partial(turn, cache, asked)


def known_pdf(size: int) -> Steps:
    cache, pdf = PromptCache(), bytes(size)
    for i in range(TIMES + 1):
        document = {"document": {"format": "pdf", "name": "manual", "source": {"bytes": pdf}}}
        step = partial(turn, cache, {"messages": [message("user", document, {"text": f"question {i}"})]})
        if i:
            yield step
        else:
            step()


BEGINNING = "Company handbook, page "


def begins_alike(size: int) -> Steps:
    """Documents that begin alike, and a prompt that is full of that beginning."""
    for n in range(size):
        documents(text(f"{BEGINNING}{n}", 1_000 + n % 500))
    full = BEGINNING * (50 * size // len(BEGINNING))
    return prepared(lambda i: request("system", f"{i} {full}"))


def one_header(size: int) -> Steps:
    """Documents under one long header, and a prompt in which that header comes a hundred times and more."""
    header = text("Confidential", 500)
    for n in range(size):
        documents(f"{header}\n{text(n, 500)}")
    full = "\n".join(f"{header}\nnot {n} of them" for n in range(size // 20))
    return prepared(lambda i: request("system", f"{i} {full}"))


def announced(size: int) -> Steps:
    """Documents, a fifth of them in the prompt."""
    known = [documents(text(f"document {n}", 1_000)) for n in range(size)]
    return prepared(lambda i: request("system", "\n\n".join([f"{i}", *known[i % 5 :: 5], "And?"])))


def context_engine(line: str, size: int) -> Steps:
    """LlamaIndex: what is retrieved changes in front, a long line stands behind it."""
    from llama_index.core.base.llms.types import ChatMessage

    from cachepoint.llama_index import CachedBedrockConverse

    said = {"message": message("assistant", {"text": "ok"})}
    usage = {"inputTokens": 2_000, "outputTokens": 1, "totalTokens": 2_001}
    client = boto_client("http://127.0.0.1:9")
    client.converse = lambda **_: {"output": said, "usage": usage, "stopReason": "end_turn"}
    llm = CachedBedrockConverse(model=MODEL, client=client, prompt_cache=PromptCache())
    stays = line * (size // len(line)) + "\n" + "\n".join(text(f"rule {n}", 100) for n in range(100))
    for i in range(4 + TIMES):
        system = ChatMessage(role="system", content=f"{text(f'passage {i}', 300)}\n{stays}")
        step = partial(llm.chat, [system, ChatMessage(role="user", content=f"question {i}")])
        if i < 4:
            step()
        else:
            yield step


def emulated(unit: str, size: int) -> Steps:
    """The emulator fills in a tool's arguments from a text."""
    from cachepoint.emulator import BedrockEmulator

    schema = {"type": "object", "properties": {"a": {"type": "string"}, "n": {"type": "number"}}}
    spec = {"name": "note", "inputSchema": {"json": {**schema, "required": ["a", "n"]}}}
    asked = {"toolConfig": {"tools": [{"toolSpec": spec}], "toolChoice": {"any": {}}}}
    with BedrockEmulator(max_calls=1) as bedrock:
        client = boto_client(bedrock.url)
        for i in range(TIMES):
            said = f"Note {i} " + unit * (size // len(unit)) + " of it"
            asked["messages"] = [message("user", {"text": said})]
            yield partial(client.converse, modelId=MODEL, **asked)


def boto_client(url: str) -> Any:
    import boto3

    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
    return boto3.client("bedrock-runtime", endpoint_url=url, region_name="us-east-1", **keys)


def cleared(size: int) -> Steps:
    """An agent's history of so many steps, as each step of it is cleared anew."""
    from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
    from langchain_core.messages.utils import count_tokens_approximately

    from cachepoint.langchain import ClearToolUsesInBatches

    edit = ClearToolUsesInBatches(trigger=15_000)
    history = [HumanMessage("Read all pages.")]
    for n in range(size):
        call = {"name": "read", "args": {"page": n}, "id": f"call {n}"}
        history += [AIMessage("", tool_calls=[call]), ToolMessage(text(n, 2_000), tool_call_id=call["id"])]
    for _ in range(TIMES):
        yield partial(edit.apply, list(history), count_tokens=count_tokens_approximately)


def nova_chat(size: int) -> Steps:
    """A chat with new documents in every turn; its last turns are timed."""
    cache, messages = PromptCache(), []
    for n in range(size):
        found = documents(text(f"document {n}", 1_200))
        messages.append(message("user", {"text": f"{found}\n\nQuestion {n}?"}))
        step = partial(turn, cache, {"messages": list(messages)}, NOVA)
        if n < size - TIMES:
            step()
        else:
            yield step
        messages.append(message("assistant", {"text": text(f"answer {n}", 200)}))


# What memory grows by, in MB.


def conversations(size: int) -> Steps:
    """Conversations of 10,000 blocks that share their texts."""
    cache, shared = PromptCache(), [{"text": f"block {n}"} for n in range(10_000)]
    for i in range(size):
        asked = {"messages": [message("user", {"text": f"conversation {i}"}, *shared)]}
        yield partial(turn, cache, asked)


def emulated_calls(size: int) -> Steps:
    """Requests of 400 kB to the emulator, which keeps as many for `calls` as its limit lets it."""
    from cachepoint.emulator import BedrockEmulator, Reply

    with BedrockEmulator(responder=lambda _: Reply.text("ok"), max_bytes=32 << 20) as bedrock:
        client = boto_client(bedrock.url)
        for i in range(size):
            yield partial(client.converse, modelId=MODEL, **request("system", text(i, 400_000)))


@dataclass(frozen=True)
class Case:
    """One row. `bounded` says that no call may take more than 50 ms at this size."""

    line: str
    what: str
    size: int
    steps: Callable[[int], Steps]
    unit: str = "ms"
    bounded: bool = True


CASES = (
    Case("", "characters of words", 400_000, partial(text_of, "all that is said of it ")),
    Case("", "characters of short lines", 400_000, partial(text_of, "a\n")),
    Case("", "characters like clocks", 400_000, partial(text_of, "12:3 1789-")),
    Case("", "blocks", 1_000, blocks),
    Case("", "tool blocks", 1_000, tool_blocks),
    Case("", "announced documents, a fifth in the prompt", 2_000, announced),
    Case("D1", "documents that begin alike", 2_000, begins_alike),
    Case("D1", "documents under one header", 2_000, one_header),
    Case("D2", "blanks in a line, LlamaIndex", 20_000, partial(context_engine, " ")),
    Case("D2", "dashes in a line, LlamaIndex", 20_000, partial(context_engine, "-")),
    Case("D2", "blanks in a text, emulator", 20_000, partial(emulated, " ")),
    Case("D2", "dashes in a text, emulator", 20_000, partial(emulated, "-")),
    Case("D2", "quotes in a text, emulator", 20_000, partial(emulated, "'")),
    Case("D4", "tool blocks of the turn before", 1_000, known_tool_blocks),
    Case("D4", "bytes of a PDF of the turn before", 5_000_000, known_pdf),
    Case("D5", "conversations of 10,000 blocks", 64, conversations, unit="MB"),
    Case("D5", "calls of 400 kB that an emulator keeps", 64, emulated_calls, unit="MB"),
    Case("D6", "steps of an agent, cleared in batches", 200, cleared, bounded=False),
    Case("D6", "turns of a RAG chat on Nova", 400, nova_chat, bounded=False),
)


def spent(steps: Steps) -> Iterator[float]:
    """CPU of each step in ms, of all threads."""
    turn(PromptCache(), HI)
    for step in steps:
        # What this process collects in all its objects falls on whoever allocates next.
        gc.collect()
        yield 1000 * timed(step, clock=time.process_time)[0]


def grown(steps: Steps) -> Iterator[float]:
    """What memory grows by from the first step to the last, in MB."""
    next(steps)()
    before = after = resident()
    for step in steps:
        step()
        after = resident()
    yield after - before


def tell(case: Case, size: int) -> None:
    """The figures of a case at a size, one for each line that is read."""
    logging.disable(logging.WARNING)
    with closing(case.steps(size)) as steps:
        figures = spent(steps) if case.unit == "ms" else grown(steps)
        while sys.stdin.readline() and (figure := next(figures, None)) is not None:
            print(json.dumps(figure), flush=True)


def apart(case: Case) -> tuple[list[float], list[float]]:
    """The figures of a case at both sizes, each in a process of its own; none where it takes too long.

    One step of either at a time: a machine that slows down slows both.
    """
    command = [sys.executable, __file__, "--one", str(CASES.index(case))]
    sizes = (case.size, FACTOR * case.size)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    found: tuple[list[float], list[float]] = ([], [])
    with ExitStack() as stack:
        processes = [stack.enter_context(subprocess.Popen([*command, str(n)], **pipes)) for n in sizes]
        timer = Timer(2 * LIMIT, lambda: [process.kill() for process in processes])
        stack.callback(timer.cancel)
        timer.start()
        asking = list(zip(processes, found, strict=True))
        while asking:
            asking = [(process, figures) for process, figures in asking if asked(process, figures)]
    late = any(process.returncode < 0 for process in processes)
    if not late and any(process.returncode for process in processes):
        raise SystemExit(f"{case.what} failed, as is said above")
    return ([], []) if late else found


def asked(process: "subprocess.Popen[str]", figures: list[float]) -> bool:
    """Whether a process told one more figure."""
    assert process.stdin is not None
    assert process.stdout is not None
    if sum(figures) > 1000 * ENOUGH:
        process.stdin.close()
        return False
    try:
        print(file=process.stdin, flush=True)
    except BrokenPipeError:
        return False
    line = process.stdout.readline()
    figures += [json.loads(line)] if line else []
    return bool(line)


def row(case: Case, *, loose: bool) -> dict[str, Any]:
    small, large = apart(case)
    middle = [statistics.median(found) if found else float("inf") for found in (small, large)]
    told = {
        "line": case.line,
        "case": case.what,
        "size": case.size,
        "unit": case.unit,
        "median": middle[0],
        "worst": max(small, default=float("inf")),
        "larger": middle[1],
        "growth": middle[1] / max(middle[0], FLOOR_MS),
    }
    wide = 2 if loose else 1
    if case.unit == "MB":
        return told | {"holds": middle[1] <= wide * BOUND_MB}
    largest = told["median" if loose else "worst"] if case.bounded else 0
    return told | {"holds": largest <= wide * BOUND_MS and told["growth"] <= wide * GROWTH}


# One thread beside another.


def with_pdf(i: int) -> dict[str, Any]:
    source = {"bytes": b"%d" % i + bytes(20_000_000)}
    return {"messages": [message("user", {"document": {"format": "pdf", "name": "a", "source": source}})]}


HEAVY: dict[str, Callable[[int], dict[str, Any]]] = {
    "a system prompt of 4 MB": lambda i: request(text(i, 4_000_000), "hi"),
    "a PDF of 20 MB": with_pdf,
    "10,000 blocks": lambda i: request("system", *(f"{i} {n} of ten thousand" for n in range(10_000))),
}
TITLE = 'prepare("hi") beside'


def waits(heavy: Callable[[int], dict[str, Any]], times: int = TIMES) -> dict[str, float]:
    """Wall time of `prepare("hi")` in ms, alone and beside a thread that prepares heavy requests."""
    large = [heavy(i) for i in range(5)]
    alone = statistics.median(hi(cache) for cache in [PromptCache()] for _ in range(10 * times))
    beside: list[float] = []
    while len(beside) < times:
        # To a new cache the large requests are new again.
        cache = PromptCache()
        thread = Thread(target=lambda cache=cache: [cache.prepare(each, MODEL) for each in large])
        thread.start()
        while thread.is_alive():
            time.sleep(0.002)
            beside.append(hi(cache))
        thread.join()
    bound = 2 * alone + 1000 * sys.getswitchinterval()
    return {"alone": alone, "median": statistics.median(beside), "worst": max(beside), "bound": bound}


def waited(heavy: Callable[[int], dict[str, Any]], *, loose: bool) -> dict[str, Any]:
    found = waits(heavy)
    holds = found["median"] <= 2 * found["bound"] if loose else found["worst"] <= found["bound"]
    return found | {"holds": holds}


def hi(cache: PromptCache) -> float:
    return 1000 * timed(cache.prepare, HI, MODEL, clock=time.perf_counter)[0]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("lines", nargs="*", metavar="D1", help="only these lines")
    options.add_argument("--loose", action="store_true")
    options.add_argument("--json", action="store_true")
    options.add_argument("--one", nargs=2, type=int, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.one:
        tell(CASES[chosen.one[0]], chosen.one[1])
        return
    lines = [line.upper() for line in chosen.lines]
    wanted = [c for c in CASES if not lines or c.line in lines]
    beside = HEAVY if not lines or "D3" in lines else {}
    if chosen.json:
        rows = [row(case, loose=chosen.loose) for case in wanted]
        threads = [{"beside": name, **waited(heavy, loose=chosen.loose)} for name, heavy in beside.items()]
        print(json.dumps({"rows": rows, "threads": threads}))
    else:
        rows = list(show_rows(wanted, loose=chosen.loose)) if wanted else []
        threads = list(show_threads(beside, loose=chosen.loose)) if beside else []
    broken = sum(not r["holds"] for r in rows + threads)
    if broken:
        sys.exit(f"{broken} of {len(rows) + len(threads)} bounds broken")


def show_rows(cases: Iterable[Case], *, loose: bool) -> Iterator[dict[str, Any]]:
    head = ("median", "worst", "at 4x", "growth")
    print(f"{'':4}{'size':>10} {'input':42}" + "".join(f"{h:>12}" for h in head))
    for case in cases:
        r = row(case, loose=loose)
        figures = "".join(f"{r[c]:>9,.1f} {r['unit']}" for c in ("median", "worst", "larger"))
        said = "" if r["holds"] else "  broken"
        print(f"{r['line']:4}{r['size']:>10,} {r['case']:42}{figures}{r['growth']:>12.1f}{said}", flush=True)
        yield r


def show_threads(
    heavy: Mapping[str, Callable[[int], dict[str, Any]]], *, loose: bool
) -> Iterator[dict[str, Any]]:
    head = ("alone", "median", "worst", "bound")
    print(f"\n{'':15}{TITLE:42}" + "".join(f"{h:>12}" for h in head))
    for name, make in heavy.items():
        t = waited(make, loose=loose)
        said = "" if t["holds"] else "  broken"
        print(f"D3{'':13}{name:42}" + "".join(f"{t[c]:>9,.2f} ms" for c in head) + said, flush=True)
        yield {"beside": name, **t}


if __name__ == "__main__":
    main()
