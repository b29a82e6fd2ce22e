"""Hot-document RAG: 6 of 400 documents a question, Zipf, 1,000 questions; input cost of each layout.

Every request goes to the emulator's service in this process. Costs are shares of the same requests
without a cache: a read 0.1, a write 1.25. The documents of a question come in an order that has nothing
to do with how popular they are.

Layouts: `system`, `system + tail` (langchain-aws) in the retriever's order; `cachepoint` in the retriever's
order and in the stable one; `by hand`, no library: checkpoints behind the documents whose beginning was
seen within 5 minutes, placed by this file: what the order is worth under the rule it is made for.

    python benchmarks/rag.py [--json] [--questions 1000] [--gap 1.0] [--zipf 1.0] [--text]

`--text` renders documents and question as one text, as the frameworks' templates do, and announces them.
It ends with an error where stable order costs more than 0.75 of the best peer, or retrieval order more
than no cache. What the order adds to cachepoint's own retrieval order is printed; under Zipf(1) it is a
little less than a quarter.
"""

import argparse
import json
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote

from cachepoint import CachePolicy, PromptCache
from cachepoint.core.accounting.usage import Usage
from cachepoint.core.prompt.documents import retrieved
from cachepoint.emulator import BedrockEmulator, Reply
from cachepoint.emulator.service.operations import Incoming
from cachepoint.shaping.documents import DocumentOrder

MODEL = "us.anthropic.claude-sonnet-4-6"
MINIMUM = 1_024
TTL = 300.0
WORDS = "what is retrieved for many questions stands in front of what is retrieved for one of them "
POINT = {"cachePoint": {"type": "default"}}
DOCUMENTS, PICKED = 400, 6
BOUND = 0.75

Request = dict[str, list[dict]]


@dataclass(frozen=True)
class Load:
    """Sizes in tokens, gap in seconds."""

    document: int
    system: int
    question: int = 60
    questions: int = 1_000
    gap: float = 1.0
    zipf: float = 1.0
    as_text: bool = False


# LlamaIndex's default chunk (1,024 tokens) under a short prompt; smaller chunks under a long one.
LOADS = {
    "chunks of 1,024, system 200": Load(document=1_024, system=200),
    "chunks of 500, system 1,500": Load(document=500, system=1_500),
}


def text(tokens: int, tag: str) -> str:
    return (f"{tag}: " + WORDS * (tokens * 4 // len(WORDS) + 1))[: tokens * 4]


def picks(load: Load, seed: int = 7) -> Iterator[list[int]]:
    rng = random.Random(seed)
    weights = [1 / (i + 1) ** load.zipf for i in range(DOCUMENTS)]
    for _ in range(load.questions):
        chosen: list[int] = []
        while len(chosen) < PICKED:
            pick = rng.choices(range(DOCUMENTS), weights)[0]
            if pick not in chosen:
                chosen.append(pick)
        rng.shuffle(chosen)
        yield chosen


def render(load: Load, documents: Sequence[str], number: int) -> Request:
    """One block per document and one for the question, or all of it in one text."""
    question = text(load.question, f"question {number}")
    parts = ["\n\n".join([*documents, question])] if load.as_text else [*documents, question]
    return {
        "system": [{"text": text(load.system, "system")}],
        "messages": [{"role": "user", "content": [{"text": p} for p in parts]}],
    }


def marked(request: Request, depths: set[int]) -> Request:
    """Checkpoints behind the system prompt (0), the first document (1), and so on; -1 is the end."""
    content = request["messages"][0]["content"]
    points = {len(content) if d < 0 else d for d in depths}
    told = [part for i, b in enumerate(content, 1) for part in ([b, POINT] if i in points else [b])]
    head = [*request["system"], POINT] if 0 in points else request["system"]
    return {"system": head, "messages": [{"role": "user", "content": told}]}


class SecondTouch:
    """Which documents to mark: those whose beginning was seen within the TTL, deepest first, four in all."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._seen: dict[tuple[str, ...], float] = {}

    def __call__(self, request: Request, now: float) -> Request:
        shown = tuple(b["text"] for b in request["messages"][0]["content"][:-1])
        ends = range(1, len(shown) + 1)
        again = [j for j in ends if now - self._seen.get(shown[:j], -TTL - 1) <= TTL]
        self._seen |= {shown[:j]: now for j in ends}
        large = [j for j in [0, *again] if self._load.system + j * self._load.document >= MINIMUM]
        return marked(request, set([*large[-1:], *large][:4]))


def units(usage: Usage) -> float:
    return usage.uncached_tokens + 0.1 * (usage.read_tokens or 0) + 1.25 * (usage.write_tokens or 0)


def send(bedrock: BedrockEmulator, request: Request) -> dict:
    path = f"/model/{quote(MODEL, safe='')}/converse"
    answer = bedrock._service.answer(Incoming("POST", path, "us-east-1", json.dumps(request).encode()))
    assert answer.status == 200, answer.body
    return json.loads(answer.body)


def ratio(load: Load, *, stable: bool, layout: Callable[[Request, float], Request] | None) -> float:
    """Input cost over that without a cache; layout None: through PromptCache."""
    bedrock = BedrockEmulator(responder=lambda _: Reply.text("ok"))
    cache = PromptCache(policy=CachePolicy(), clock=bedrock.now)
    order = DocumentOrder(bedrock.now, ttl=TTL)
    corpus = [text(load.document, f"document {i}") for i in range(DOCUMENTS)]
    spent = plain = 0.0
    for number, chosen in enumerate(picks(load)):
        documents = [corpus[i] for i in chosen]
        if stable:
            documents = [documents[i] for i in order.order(documents)]
        if layout is None:
            retrieved.announce(documents)
        request = render(load, documents, number)
        call = cache.prepare(request, model_id=MODEL) if layout is None else None
        response = send(bedrock, call.request if call else layout(request, bedrock.now()))
        if call:
            cache.settle(call, response)
        usage = Usage.from_converse(response)
        spent += units(usage)
        plain += usage.input_tokens
        bedrock.advance(load.gap)
    assert cache.faults == 0
    return spent / plain


PEERS = ("system", "system + tail")


def measure(load: Load) -> dict[str, float]:
    found = {
        "nothing": ratio(load, stable=False, layout=lambda r, _: r),
        "system": ratio(load, stable=False, layout=lambda r, _: marked(r, {0})),
        "system + tail": ratio(load, stable=False, layout=lambda r, _: marked(r, {0, -1})),
        "cachepoint, retrieval order": ratio(load, stable=False, layout=None),
        "cachepoint, stable order": ratio(load, stable=True, layout=None),
    }
    if not load.as_text:
        found["by hand, retrieval order"] = ratio(load, stable=False, layout=SecondTouch(load))
        found["by hand, stable order"] = ratio(load, stable=True, layout=SecondTouch(load))
    return found


def broken(rows: dict[str, float]) -> list[str]:
    """What costs more than its bound: `BOUND` of the best peer, or no cache."""
    best = min(rows[p] for p in PEERS)
    stable, plain = rows["cachepoint, stable order"], rows["cachepoint, retrieval order"]
    bounds = {
        f"stable order is {stable / best:.3f} of the best peer": stable <= BOUND * best,
        f"retrieval order is {plain:.4f} of uncached": plain <= 1,
    }
    return [said for said, holds in bounds.items() if not holds]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--json", action="store_true")
    options.add_argument("--text", action="store_true")
    options.add_argument("--questions", type=int, default=1_000)
    options.add_argument("--gap", type=float, default=1.0)
    options.add_argument("--zipf", type=float, default=1.0)
    chosen = options.parse_args()
    changes = {
        "questions": chosen.questions,
        "gap": chosen.gap,
        "zipf": chosen.zipf,
        "as_text": chosen.text,
    }
    rows = {name: measure(replace(load, **changes)) for name, load in LOADS.items()}
    faults = [f"{name}: {said}" for name, found in rows.items() for said in broken(found)]
    if chosen.json:
        print(json.dumps({"rows": rows, "broken": faults}))
    else:
        print(f"{'input cost, of uncached':32}" + "".join(f"{name:>30}" for name in rows))
        for layout in next(iter(rows.values())):
            print(f"{layout:32}" + "".join(f"{found[layout]:>30.3f}" for found in rows.values()))
        gains = [1 - f["cachepoint, stable order"] / min(f[p] for p in PEERS) for f in rows.values()]
        own = [1 - f["cachepoint, stable order"] / f["cachepoint, retrieval order"] for f in rows.values()]
        print(f"\n{'stable order costs less by':32}")
        print(f"{'  than the best peer':32}" + "".join(f"{g:>30.1%}" for g in gains))
        print(f"{'  than retrieval order here':32}" + "".join(f"{g:>30.1%}" for g in own))
    if faults:
        sys.exit("\n".join(faults))


if __name__ == "__main__":
    main()
