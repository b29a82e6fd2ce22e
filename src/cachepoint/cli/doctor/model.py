"""Whether a model is known, and whether prompts to it are cached."""

from collections.abc import Iterator

from cachepoint.cli.doctor.findings import Finding
from cachepoint.cli.doctor.setup import Setup
from cachepoint.cli.named import model_id, own_row
from cachepoint.core.accounting.pricing import prices
from cachepoint.core.cache import PromptCache
from cachepoint.core.models.rules import ModelRules, base_model, is_hidden, known_as, rules_for
from cachepoint.core.placement.planner import Plan

_WORD = "sample "
_FAR_ABOVE = 4


def model(setup: Setup) -> Iterator[Finding]:
    """Whether the model is known, what it allows, and what a new prompt to it would get."""
    asked = setup.asked
    if asked is None:
        yield Finding("ok", "no model was named", "cachepoint doctor --model us.anthropic.claude-sonnet-4-6")
        return
    base = asked.base or (None if setup.service is None else setup.service.behind)
    known = known_as(asked.model, base)
    if base_model(known) is None:
        yield _hiding(known)
        return
    yield from _named(known, setup)


def _named(name: str, setup: Setup) -> Iterator[Finding]:
    try:
        meant = model_id(name)
    except ValueError as error:
        said, _, near = str(error).partition("; ")
        yield Finding("fault", f"{said}: its calls go out as they come, without checkpoints", near)
        return
    if meant != name:
        yield Finding("fault", f"{name!r} is no id of Bedrock's: it is taken for {meant}", f"write {meant!r}")
    yield from _known(meant, rules_for(meant), setup)


def _hiding(arn: str) -> Finding:
    if is_hidden(arn):
        return Finding(
            "fault",
            f"{arn} hides its model: no checkpoint is placed unless it is known",
            "give base_model_id= with the id of the model behind it, or a bedrock client "
            "(control=, bedrock_client=) that may call bedrock:GetInferenceProfile; here: --base-model",
        )
    return Finding(
        "fault",
        f"{arn} tells no model: no checkpoint is placed",
        "give base_model_id= with the id of the model behind it; provisioned throughput caches nothing",
    )


def _known(name: str, row: ModelRules, setup: Setup) -> Iterator[Finding]:
    sure = f"{row.confidence} confidence, checked {row.checked}"
    if not row.caches:
        called = row.name if own_row(row) else name
        yield Finding("note", f"{called} takes no checkpoints: its calls go out as they come ({sure})")
    else:
        yield _planned(name, row, setup, sure)
    if prices(name, setup.at) is None:
        yield Finding(
            "note",
            f"no price is known for {name}: reports tell tokens, and no money",
            "cachepoint.configure(prices=...); or name a profile (global., us.) that has one",
        )


def _planned(name: str, row: ModelRules, setup: Setup, sure: str) -> Finding:
    limits = f"{row.name}: from {row.min_tokens:,} tokens on, {' and '.join(row.ttls)}; {sure}"
    plan = sample(name, row, setup)
    if not plan.checkpoints:
        why = "mode is off" if setup.policy.mode == "off" else plan.note or "the policy asks for none"
        return Finding("note", f"{limits}. A long new prompt would get no checkpoint: {why}")
    points = ", ".join(f"{one.where} ({one.ttl})" for one in plan.checkpoints)
    return Finding("ok", f"{limits}. A long new prompt gets checkpoints at {points}")


def sample(name: str, row: ModelRules, setup: Setup) -> Plan:
    """The checkpoints of a new prompt far above the minimum, by the policy that holds."""
    tokens = _FAR_ABOVE * max(row.min_tokens_safe, row.min_tokens, 1)
    system = _WORD * int(tokens * row.bytes_per_token / len(_WORD))
    request = {"system": [{"text": system}], "messages": [{"role": "user", "content": [{"text": "Hello."}]}]}
    cache = PromptCache(policy=setup.policy, clock=lambda: setup.at)
    return cache.prepare(request, model_id=name).plan
