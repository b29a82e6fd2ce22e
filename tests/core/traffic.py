"""Calls through PromptCache to the emulator's engine, without sockets."""

import json
import random
from urllib.parse import quote

from builders import SONNET

from cachepoint import CachePolicy, PromptCache, Usage
from cachepoint.core.accounting.report import input_units
from cachepoint.core.models.rules import rules_for
from cachepoint.emulator import BedrockEmulator, Reply
from cachepoint.emulator.service.operations import Incoming


class Run:
    """One process and its traffic.

    `ratio` is the input cost over that of the same calls uncached, `writes` how many calls wrote.
    """

    def __init__(self, **policy):
        self.bedrock = BedrockEmulator(responder=lambda _: Reply.text("ok"))
        self.cache = PromptCache(policy=CachePolicy(**policy), clock=self.bedrock.now)
        self.units = 0.0
        self.total = Usage()
        self.writes = 0

    def call(self, request, gap=2.0, model=SONNET):
        self.bedrock.advance(gap)
        call = self.cache.prepare(request, model_id=model)
        body = json.dumps(call.request).encode()
        path = f"/model/{quote(model, safe='')}/converse"
        answer = self.bedrock._service.answer(Incoming("POST", path, "us-east-1", body))
        assert answer.status == 200, answer.body
        report = self.cache.settle(call, json.loads(answer.body))
        self.total += report.usage
        self.writes += report.usage.write_tokens > 0
        self.units += input_units(report.usage, rules_for(model).multipliers)
        return report

    @property
    def ratio(self):
        return self.units / self.total.input_tokens


_WORDS = (
    *("valve", "pump", "rotor", "litre", "cover", "grey", "side", "press", "open"),
    *("shut", "turn", "left", "right", "before", "after", "check", "seal"),
)


def prose(tokens, tag=""):
    """About so many tokens of text in lines, which no other tag has."""
    chosen = random.Random(f"{tag}{tokens}")
    sentences, size = [], 0
    while size < tokens * 4:
        said = " ".join(chosen.choices(_WORDS, k=chosen.randint(6, 14))).capitalize()
        sentences.append(f"{said}.\n" if len(sentences) % 4 == 3 else f"{said}. ")
        size += len(sentences[-1])
    return "".join(sentences)
