"""A chat whose history is trimmed, with pauses: what `when="cold"` costs beside cutting where it has to be.

40 turns of about 500 tokens behind a system prompt of 3,000, trimmed at 6,000 tokens, through the emulator's
engine (Claude Sonnet 4.6's rules, `ttl="auto"`). A share of the turns comes 7 to 25 minutes after the one
before, the others 10 to 60 seconds. A figure is the input cost with `when="cold"` over that without, one for
each seed.

    python benchmarks/pauses.py [--json] [--seeds 6]
"""

import argparse
import json
import random
import sys

from shaping import said
from simulate import MODEL, Bedrock
from trimming import text

from cachepoint import PromptCache
from cachepoint.core.models.rules import TTL_SECONDS
from cachepoint.shaping.history import start_of, start_when_cold
from cachepoint.shaping.when import Cut, lives

TURNS, LIMIT = 40, 6_000
SHARES = (0.0, 0.1, 0.2, 0.3, 0.5, 0.8)


def gaps(share: float, seed: int) -> list[float]:
    rng = random.Random(seed)
    return [rng.uniform(420, 1_500) if rng.random() < share else rng.uniform(10, 60) for _ in range(TURNS)]


def cost(share: float, seed: int, *, cold: bool) -> float:
    """Input cost of a chat, in uncached tokens."""
    bedrock = Bedrock()
    cache = PromptCache(clock=bedrock.emulator.now)
    system, history, cut, written = [{"text": text(3_000, "system")}], [], Cut(), []
    for n, gap in enumerate(gaps(share, seed)):
        bedrock.emulator.advance(gap)
        history.append(said("user", text(150, f"question {n}")))
        sizes = [len(m["content"][0]["text"]) // 4 for m in history]
        starts = list(range(0, len(history), 2))
        start = start_of(sizes, starts, LIMIT)
        if cold:
            start, cut = start_when_cold(
                sizes, starts, LIMIT, cut, now=bedrock.emulator.now(), ttl=lives(written)
            )
        call = cache.prepare({"system": system, "messages": history[start:]}, model_id=MODEL)
        cache.settle(call, bedrock.send(call.request))
        written.insert(0, [(point.tokens, TTL_SECONDS[point.ttl]) for point in call.plan.checkpoints])
        history.append(said("assistant", text(350, f"answer {n}")))
    return bedrock.units


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seeds", type=int, default=6)
    options = parser.parse_args()
    seeds = range(21, 21 + options.seeds)
    found = {
        share: [cost(share, seed, cold=True) / cost(share, seed, cold=False) for seed in seeds]
        for share in SHARES
    }
    if options.json:
        print(json.dumps(found))
        return 0
    for share, ratios in found.items():
        print(f"pauses before {share:4.0%} of the turns" + "".join(f"{ratio:8.3f}" for ratio in ratios))
    return 0


if __name__ == "__main__":
    sys.exit(main())
