"""`cachepoint probe` against caches whose rules are known."""

import json
import random
from collections import Counter
from decimal import Decimal

import pytest
from botocore.exceptions import ClientError
from typer.testing import CliRunner

from cachepoint import Usage
from cachepoint.cli import build
from cachepoint.cli.probe.asking import StoppedError
from cachepoint.cli.probe.changes import CHANGES
from cachepoint.cli.probe.examination import PROBES, Findings, Wanted, examine
from cachepoint.cli.probe.local import Local
from cachepoint.cli.probe.prompts import Kit
from cachepoint.cli.probe.rates import Rate, copies
from cachepoint.cli.probe.running import Journal, Runner
from cachepoint.cli.probe.text import forecast
from cachepoint.core.accounting import pricing
from cachepoint.emulator import BedrockEmulator, Options

MODEL = "us.anthropic.claude-sonnet-4-6"
LOST = {
    "temperature": "nothing",
    "max_tokens": "nothing",
    "thinking": "everything",
    "effort": "everything",
    "output_schema": "everything",
    "tool_choice": "messages",
}


def drawn(seed):
    """How a cache behaves, by chance."""
    rng = random.Random(seed)
    return {
        "min_tokens": rng.randint(200, 3_000),
        "lookback": rng.randint(3, 40),
        "lifetime_5m": float(rng.randint(90, 900)),
        "lifetime_1h": float(rng.randint(1_800, 5_400)),
        "refresh": rng.random() < 0.5,
        "over_5m": rng.choice(["own", "5m", "1h"]),
        "eviction": rng.choice([0.0, rng.uniform(0.0, 0.02)]),
    }


def wanted(*names, resolution=1.0):
    return Wanted(names or tuple(PROBES), resolution, CHANGES)


def examined(client, clock, sleep, journal, *names, budget=None):
    found = Findings()
    runner = Runner(client, MODEL, clock, sleep, journal, budget)
    runner.run(examine(Kit(journal.seed), wanted(*names), found))
    return runner, found


def local(seed=0, **options):
    made = Local(MODEL, Options(**options), seed=seed)
    return made, made.now, made.sleep


@pytest.fixture(scope="module")
def runs():
    """Twenty caches, and what was found of each."""
    made = []
    for seed in range(20):
        options = drawn(f"cache {seed}")
        _, found = examined(*local(seed, **options), Journal(f"probe {seed}"))
        made.append((options, found.known))
    return made


@pytest.mark.parametrize("n", range(20))
def test_minimum_lookback_lifetimes_refresh_and_upgrade_are_found_exactly(n, runs):
    options, known = runs[n]
    assert known["minimum"][0] == options["min_tokens"]
    assert known["lookback"] == options["lookback"]
    for name in ("lifetime_5m", "lifetime_1h"):
        assert known[name] == (options[name] - 1, options[name])
    assert known["refresh"] is options["refresh"]
    assert known["upgrade"] == options["over_5m"]


@pytest.mark.parametrize("n", range(20))
def test_what_throws_the_cache_away_is_found(n, runs):
    """As CacheCanary 0.4.0 measured it (2026-10), which the local Bedrock follows."""
    _, known = runs[n]
    assert known["settings"] == LOST
    assert not any(known["documents"])
    assert known["backfill"] is True
    assert known["ttl_key"] is False
    assert known["one_hour"] is True


def test_rates_are_within_their_intervals(runs):
    """Of twenty intervals of 95 %, each at most 0.2 wide, seventeen at least hold the rate."""
    held = [known["eviction"][0].low <= o["eviction"] <= known["eviction"][0].high for o, known in runs]
    assert sum(held) >= 17
    assert all(known["eviction"][0].high - known["eviction"][0].low <= 0.2 for _, known in runs)


@pytest.mark.parametrize("eviction", [0.1, 0.3, 0.6])
def test_what_cannot_be_seen_is_said_to_be_unknown(eviction):
    """Of entries that are lost so early none lives for an hour; a rate is told all the same."""
    _, found = examined(*local(eviction=eviction), Journal("a"), "upgrade")
    rate = found.known["eviction"][0]
    assert rate.low <= eviction <= rate.high
    assert rate.high - rate.low <= 0.2
    assert found.known["lifetime_1h"] is None
    assert found.known["upgrade"] is None


def test_a_model_that_keeps_nothing_is_asked_nothing_more():
    client, clock, sleep = local(min_tokens=10**6)
    _, found = examined(client, clock, sleep, Journal("a"))
    assert found.known == {"minimum": None}
    assert client.calls < 12


@pytest.mark.parametrize("model", ["us.amazon.nova-lite-v1:0", "us.anthropic.claude-3-5-haiku-20241022-v1:0"])
def test_a_model_without_an_hour_is_asked_for_what_it_has(model):
    known = forecast(model, wanted()).found
    assert known["one_hour"] is False
    assert known["lifetime_5m"] == (299.0, 300.0)
    assert known["refresh"] is True
    assert known["backfill"] is True
    assert known["eviction"][1].share == 0
    assert (known["lifetime_1h"], known["upgrade"], known["ttl_key"]) == (None, None, None)


def test_a_lookback_without_an_end_is_said_so():
    _, found = examined(*local(lookback=500), Journal("a"), "lookback")
    assert found.known["lookback"] is None


class Interrupting:
    """A client that somebody stops before the so-manieth request; it counts what it is sent."""

    def __init__(self, client, stops=()):
        self.client = client
        self.stops = set(stops)
        self.sent = []

    def converse(self, **request):
        if len(self.sent) in self.stops:
            self.stops.discard(len(self.sent))
            raise KeyboardInterrupt
        self.sent.append(json.dumps(request, sort_keys=True))
        return self.client.converse(**request)


def taken_up(path, stops, pause=0.0, **options):
    """A probe that is interrupted and taken up again, until it is done."""
    client, clock, sleep = local(**options)
    asked = Interrupting(client, stops)
    for _ in range(len(stops) + 1):
        try:
            _, found = examined(asked, clock, sleep, Journal.at(path, MODEL), "refresh", "settings")
        except KeyboardInterrupt:
            sleep(pause)
        else:
            return asked.sent, found.known
    raise AssertionError("it never ended")


def test_taken_up_again_it_asks_nothing_twice(tmp_path):
    path = tmp_path / "state.jsonl"
    path.write_text(json.dumps({"probe": MODEL, "seed": "a"}) + "\n")
    whole, known = taken_up(path, ())
    for stops in ([1], [7, 30], [len(whole) - 1], range(0, len(whole), 9)):
        path.write_text(json.dumps({"probe": MODEL, "seed": "a"}) + "\n")
        sent, found = taken_up(path, list(stops))
        assert sent == whole
        assert found == known


def test_what_came_too_late_is_begun_anew_and_nothing_else(tmp_path):
    """Four hours between: an entry that was to be looked for in between tells nothing any more."""
    path = tmp_path / "state.jsonl"
    path.write_text(json.dumps({"probe": MODEL, "seed": "a"}) + "\n")
    whole, known = taken_up(path, ())
    for stop in (len(whole) // 2, len(whole) - 2):
        path.write_text(json.dumps({"probe": MODEL, "seed": "a"}) + "\n")
        sent, found = taken_up(path, [stop], pause=4 * 3_600.0)
        assert {name: found[name] for name in ("minimum", "lifetime_5m", "refresh", "settings")} == {
            name: known[name] for name in ("minimum", "lifetime_5m", "refresh", "settings")
        }
        assert len(sent) <= len(whole) + 10
        # A prefix is written and looked for: twice at most, as in a run that nobody stops.
        assert max(Counter(sent).values()) == max(Counter(whole).values())


@pytest.mark.parametrize("text", ["", "{}\n", "no JSON\n", '{"probe": "another", "seed": "a"}\n'])
def test_another_file_is_no_state(text, tmp_path):
    path = tmp_path / "state.jsonl"
    path.write_text(text)
    with pytest.raises(ValueError, match="--state"):
        Journal.at(path, MODEL)


def test_other_options_are_another_probe(tmp_path):
    path = tmp_path / "state.jsonl"
    examined(*local(), Journal.at(path, MODEL), "minimum")
    head = json.loads(path.read_text().splitlines()[0])
    path.write_text("\n".join([json.dumps({**head, "seed": "other"}), *path.read_text().splitlines()[1:]]))
    with pytest.raises(ValueError, match="other options"):
        examined(*local(), Journal.at(path, MODEL), "minimum")


def test_no_text_is_kept(tmp_path):
    path = tmp_path / "state.jsonl"
    examined(*local(), Journal.at(path, MODEL), "settings")
    assert "valve" not in path.read_text()


def refusal(code):
    return ClientError({"Error": {"Code": code, "Message": "the valve of the pump"}}, "Converse")


class Refusing:
    def __init__(self, client, errors):
        self.client, self.errors = client, errors

    def converse(self, **request):
        if self.errors and (error := self.errors.pop(0)) is not None:
            raise error
        return self.client.converse(**request)


def test_throttling_is_waited_for():
    client, clock, sleep = local()
    began = clock()
    refusing = Refusing(client, [None, *[refusal("ThrottlingException")] * 3])
    runner, found = examined(refusing, clock, sleep, Journal("a"), "minimum")
    assert found.known["minimum"][0] == 1_024
    assert clock() - began == 7.0
    assert runner.sent == client.calls


def test_what_lets_nobody_in_stops_it_without_its_words():
    client, clock, sleep = local()
    with pytest.raises(StoppedError, match=r"^the service says AccessDeniedException$"):
        examined(Refusing(client, [refusal("AccessDeniedException")]), clock, sleep, Journal("a"))


def test_a_setting_that_is_refused_is_an_answer():
    client, clock, sleep = local()

    class Strict:
        def converse(self, **request):
            if "outputConfig" in request:
                raise refusal("ValidationException")
            return client.converse(**request)

    _, found = examined(Strict(), clock, sleep, Journal("a"), "settings")
    assert found.known["settings"] == LOST | {"output_schema": "refused"}


@pytest.mark.parametrize("budget", ["0", "0.01", "0.1", "1"])
def test_the_budget_holds(budget):
    """What was spent is what the answers cost, and it ends before a request that might cost more."""
    client, clock, sleep = local()
    found, limit = Findings(), Decimal(budget)
    runner = Runner(client, MODEL, clock, sleep, Journal("a"), limit)
    with pytest.raises(StoppedError, match="of the budget are left"):
        runner.run(examine(Kit("a"), wanted(), found))
    assert runner.spent <= limit
    assert found.running
    assert set(found.known) == set(list(PROBES)[: len(found.known)])


def test_a_forecast_is_what_it_comes_to():
    expected = forecast(MODEL, wanted("settings", "lookback"))
    runner, found = examined(*local(), Journal("a"), "settings", "lookback")
    assert (expected.requests, expected.spent) == (runner.sent, runner.spent)
    assert expected.found == found.known


def test_wilson():
    """The interval of 10 of 100 and of 0 of 10 (Newcombe, Statistics in Medicine 17, 1998, table I gives 0 of 20)."""
    assert Rate.of(0, 20) == pytest.approx((0.0, 0.0, 0.1611), abs=5e-5)
    assert Rate.of(81, 263) == pytest.approx((0.3080, 0.2553, 0.3662), abs=5e-5)
    assert Rate.of(0, 0) == (0.5, 0.0, 1.0)
    assert max(Rate.of(n, 100).high - Rate.of(n, 100).low for n in range(101)) < 0.2


def test_copies():
    assert copies(0.0, 3_600) == 1
    # One that is left with 1 / 2 each: 10 make less than 1 in 1,000 doubtful.
    assert copies(0.5, 60) == 10
    assert copies(0.9, 36_000) > 10**6


def invoke(*args, code=0):
    result = CliRunner().invoke(build(), ["probe", *map(str, args)])
    assert result.exit_code == code, result.output
    return result


def spent(bedrock):
    """What the service counted, in dollars."""
    usages = [
        Usage.from_converse({"usage": call.usage}, MODEL) for call in bedrock.calls if call.usage is not None
    ]
    return sum(pricing.cost(usage, MODEL, bedrock.now()) for usage in usages)


def test_against_a_service_by_boto3():
    with BedrockEmulator(min_tokens=1_500, lookback=12) as bedrock:
        names = "minimum,lookback,settings,documents,backfill,ttl_key"
        shown = invoke("--model", MODEL, "--endpoint-url", bedrock.url, "--only", names)
    assert "minimum      1,500 tokens were kept, 1,499 were not" in shown.stdout
    assert "lookback     12 blocks" in shown.stdout
    assert "tool_choice loses messages" in shown.stdout
    assert "min_tokens = 1500" in shown.stdout
    assert 'ttls = ["5m", "1h"]' in shown.stdout
    assert "  lookback: 12 blocks here, 21 blocks there" in shown.stdout
    assert "of a budget of $5.00" in shown.stderr


def test_a_budget_too_small_stops_in_time_and_says_what_is_known():
    with BedrockEmulator() as bedrock:
        args = ("--model", MODEL, "--endpoint-url", bedrock.url, "--budget", 0.2)
        shown = invoke(*args, "--only", "minimum,lookback,settings,documents", "--json", code=1)
        found = json.loads(shown.stdout)
        assert found["found"]["minimum"][0] == 1_024
        assert "documents" not in found["found"]
        assert found["stopped"]["in"] == "lookback"
        assert float(spent(bedrock)) <= found["spent_usd"] <= 0.2
    assert "stopped in lookback: the next request may cost" in " ".join(shown.stderr.split())


def test_a_dry_run_asks_nothing():
    shown = invoke("--model", MODEL, "--endpoint-url", "http://127.0.0.1:9", "--dry-run")
    assert "of waiting; Ctrl-C stops it" in " ".join(shown.output.split())


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--model", "no-such-model"], "no model 'no-such-model' is known"),
        (["--model", MODEL, "--only", "minimum,size"], "--only has 'size'; there are minimum,"),
        (["--model", MODEL, "--resolution", "0"], "--resolution is 0.0"),
        (["--model", MODEL, "--budget", "-1"], "--budget is -1.0"),
        (["--model", MODEL, "--guardrail", "abc"], "--guardrail is 'abc'; give ID:VERSION"),
    ],
)
def test_what_cannot_be_meant_is_said_before_anything_is_asked(args, said):
    assert said in " ".join(invoke(*args, code=1).output.split())
