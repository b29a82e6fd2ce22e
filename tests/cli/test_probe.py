"""`cachepoint probe` against the emulator, whose options are drawn at random: what it finds is what was set."""

import random
from math import comb

import pytest

from cachepoint.cli.probe import chance
from cachepoint.cli.probe.asking import Ask, Finding, Lab
from cachepoint.cli.probe.local import Local
from cachepoint.cli.probe.probes import PROBES, chosen
from cachepoint.cli.probe.runs import Wish
from cachepoint.core.models.rules import rules_for
from cachepoint.emulator.cache import prompt, settings

SONNET = "us.anthropic.claude-sonnet-4-6"
SONNET_55 = "us.anthropic.claude-sonnet-5-5"
OLD = "us.anthropic.claude-sonnet-4-20250514-v1:0"
NOVA = "us.amazon.nova-lite-v1:0"
RUNS = 20


def found(model=SONNET, only=(), seed=0, guardrail=None, **options):
    local = Local(seed=seed, guardrail=guardrail[0] if guardrail else "", **options)
    wish = Wish(model=model, only=only, resolution=1.0, guardrail=guardrail)
    runner = wish.runner(local, clock=local.now, sleep=local.sleep)
    ended = wish.ask(runner)
    assert ended.code == 0, ended
    return runner.lab.found


def values(known):
    return {name: finding.value for name, finding in known.items()}


def drawn(seed, most_lost=0.02):
    """Options at random; with that loss a minute one in twenty of the longest-lived is left at its end."""
    at_random = random.Random(f"probe {seed} {most_lost}")
    five = at_random.randint(90, 900)
    return {
        "min_tokens": int(512 * 2 ** at_random.uniform(0, 4)),
        "lookback": at_random.randint(1, 60),
        "lifetime_5m": five,
        "lifetime_1h": 2 * five + at_random.randint(0, 4000),
        "refresh": at_random.random() < 0.5,
        "over_5m": at_random.choice(["own", "5m", "1h"]),
        "eviction": at_random.choice([0, 0.5, 1]) * most_lost * at_random.random(),
    }


@pytest.fixture(scope="module")
def runs():
    return [(drawn(seed), found(seed=seed, **drawn(seed))) for seed in range(RUNS)]


EXACT = ["min_tokens", "lookback", "lifetime_5m", "lifetime_1h", "refresh", "over_5m"]


@pytest.mark.parametrize("name", EXACT)
def test_options_drawn_at_random_are_found_exactly(runs, name):
    told = [(options[name], known[name].value) for options, known in runs]
    assert [one for one, _ in told] == [other for _, other in told]


@pytest.fixture(scope="module")
def lossy():
    """Services that lose up to a fifth of their entries in a minute."""
    return [(drawn(seed, 0.2), found(seed=seed, **drawn(seed, 0.2))) for seed in range(8)]


def test_where_chance_empties_the_cache_nothing_is_guessed(lossy):
    """The lifetime of an hour is found where one entry in twenty lives to its end, and else unknown."""
    for options, known in lossy:
        assert [known[name].value for name in EXACT if name != "lifetime_1h"] == [
            options[name] for name in EXACT if name != "lifetime_1h"
        ]
        hour, finding = options["lifetime_1h"], known["lifetime_1h"]
        if finding.value is None:
            assert chance.survival(options["eviction"], hour) < 0.05
            assert finding.state == "unknown"
            assert finding.low < hour
            assert finding.note
        else:
            assert finding.value == hour
    assert any(known["lifetime_1h"].value is None for _, known in lossy)


def test_early_eviction_lies_in_its_interval(runs, lossy):
    inside = 0
    for options, known in (*runs, *lossy):
        finding = known["eviction"]
        assert finding.high - finding.low <= 0.2
        inside += finding.low <= options["eviction"] <= finding.high
    assert inside >= 24


def test_settings_lose_what_the_emulator_lets_them_lose(runs):
    for _, known in runs:
        told = values(known)
        assert [told[f"loses_{name}"] for name in ("thinking", "effort", "schema", "tool_choice")] == [
            "everything",
            "everything",
            "everything",
            "messages",
        ]
        # The emulator's prefixes are byte-exact and end where a block ends.
        assert (told["documents_read_whole"], told["whole_reads_documents"]) == (False, False)
        assert (told["backfill"], told["honours_1h"], told["ttl_in_key"]) == (True, True, False)


def test_what_a_read_refreshes_below_it(runs):
    # The emulator refreshes what has a checkpoint, and only where a read refreshes at all.
    for options, known in runs:
        told = [known[f"refresh_below_{name}"].value for name in ("marked", "unmarked")]
        assert told == ([True, False] if options["refresh"] else [None, None])


ASKED = {
    "thinking": settings.thinking,
    "effort": settings.effort,
    "schema": settings.text_format,
    "tool_choice": settings.tool_choice,
}
LOST = {"everything": "tools", "messages": "messages", "nothing": None}


def test_whatever_a_setting_loses_is_told(monkeypatch):
    for seed in range(RUNS):
        at_random = random.Random(f"settings {seed}")
        loses = {name: at_random.choice(list(LOST)) for name in ASKED}

        def salts(request, loses=loses):
            places = {"tools": b"", "messages": b""}
            for name, read in ASKED.items():
                if place := LOST[loses[name]]:
                    places[place] += repr(read(request)).encode()
            return places

        monkeypatch.setitem(prompt._SALTS, "claude", salts)
        told = values(found(only=("settings",), seed=seed, eviction=0.1))
        assert {name: told[f"loses_{name}"] for name in ASKED} == loses


def test_what_a_model_refuses_is_an_answer():
    known = found(SONNET_55, ("settings",))
    # models.dev#1765, 2026-05: the schema; a budget of thinking is refused too, and adaptive asked instead.
    assert (known["loses_schema"].state, known["loses_schema"].note) == ("refused", "ValidationException")
    assert known["loses_thinking"].value == "everything"


def test_nova_has_no_lookback_and_loses_all_by_tool_choice():
    told = found(NOVA)
    assert told["lookback"].value == 0
    assert told["loses_tool_choice"].value == "everything"
    assert told["loses_thinking"].state == "refused"
    assert not {"lifetime_1h", "over_5m", "honours_1h", "ttl_in_key"} & set(told)


def test_guard_blocks_are_asked_about_where_there_is_a_guardrail():
    assert found(only=("settings",), guardrail=("g1", "1"))["loses_guard"].value == "nothing"
    assert "loses_guard" not in found(only=("settings",))


def test_what_cannot_be_known_is_unknown():
    # An entry that is lost at once was never there; one of an hour that ends with that of 5m says nothing.
    assert found(only=("lookback",), eviction=1.0)["lookback"].state == "unknown"
    same = found(only=("upgrade",), lifetime_1h=300)
    assert (same["lifetime_1h"].value, same["over_5m"].value, same["over_5m"].state) == (300, None, "unknown")
    behind = found(lookback=0)
    assert (behind["lookback"].value, behind["over_5m"].state) == (0, "unknown")
    assert "lookback of 0" in behind["over_5m"].note
    short = found(only=("eviction",), lifetime_5m=50)
    assert (short["eviction"].value, short["eviction"].state) == (None, "unknown")


def test_a_minimum_beyond_all_prompts_ends_it():
    local = Local(min_tokens=100_000)
    wish = Wish(model=SONNET)
    runner = wish.runner(local, clock=local.now, sleep=local.sleep)
    ended = wish.ask(runner)
    assert (ended.code, list(runner.lab.found)) == (1, ["min_tokens"])
    assert runner.lab.found["min_tokens"].state == "unknown"


def test_no_minimum_is_told_as_what_it_is_at_most():
    known = found(only=("minimum",), min_tokens=0)["min_tokens"]
    assert (known.value, known.state, known.low) == (None, "between", 0)
    assert known.high == 10  # 40 bytes at 4 a token


def test_a_probe_needs_others():
    assert chosen(["upgrade"]) == ("size", "eviction", "lifetime-5m", "lifetime-1h", "upgrade")
    assert chosen(["minimum", "lookback"]) == ("minimum", "lookback")
    with pytest.raises(ValueError, match="there is no probe 'lookbak'"):
        chosen(["lookbak"])


def test_probes_are_pure_generators():
    """They ask nothing by themselves: the first thing a probe yields is a question."""
    lab = Lab(rules_for(SONNET), "seed")
    for name in ("minimum", "eviction", "lookback"):
        assert isinstance(next(PROBES[name](lab)), Ask | Finding)


def test_the_interval_is_that_of_clopper_and_pearson():
    low, high = chance.interval(3, 20)
    below = sum(comb(20, k) * low**k * (1 - low) ** (20 - k) for k in range(3))
    above = sum(comb(20, k) * high**k * (1 - high) ** (20 - k) for k in range(4))
    assert (1 - below, above) == (pytest.approx(0.025), pytest.approx(0.025))
    assert chance.interval(0, 24) == (0.0, pytest.approx(1 - 0.025 ** (1 / 24)))


def test_a_share_lost_in_half_a_minute_is_more_in_a_minute():
    assert chance.per_minute(0.5, 30) == pytest.approx(0.75)
    assert chance.survival(0.5, 120) == pytest.approx(0.25)
