"""A run of `cachepoint probe`: its budget, its state, its refusals, its command; with real boto3 on the emulator."""

import json
import re
import sys
import tomllib
from collections import Counter
from decimal import Decimal

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from typer.testing import CliRunner

from cachepoint.cli import build
from cachepoint.cli import probe as probing
from cachepoint.cli.probe.local import Local
from cachepoint.cli.probe.runs import Wish, expected
from cachepoint.core.models.rules import ModelRules
from cachepoint.emulator import BedrockEmulator
from tests.emulator import wire

SONNET = "us.anthropic.claude-sonnet-4-6"
QUICK = ("minimum", "lookback", "documents")


class Counted:
    """A client that counts what it is asked, and fails where it is told to."""

    def __init__(self, inner, fails=lambda number: None):
        self.inner, self.fails, self.bodies = inner, fails, []

    def converse(self, **request):
        self.bodies.append(json.dumps(request))
        if error := self.fails(len(self.bodies)):
            raise error
        return self.inner.converse(**request)


def fault(code):
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "Converse")


def begun(client, local, wish=None, **more):
    wish = wish or Wish(model=SONNET, resolution=1.0)
    return wish, wish.runner(client, clock=local.now, sleep=local.sleep, **more)


@pytest.fixture
def bedrock():
    with BedrockEmulator(min_tokens=700, lookback=9) as emulator:
        yield emulator


def behind_boto3(bedrock, budget, only=(), state=None):
    wish = Wish(model=SONNET, only=only, resolution=1.0)
    client = wire.client(bedrock)
    runner = wish.runner(
        client, clock=bedrock.now, sleep=bedrock.advance, budget=Decimal(budget), state=state
    )
    ended = wish.ask(runner)
    client.close()
    return runner, ended


def test_with_enough_it_finds_all_behind_boto3(bedrock):
    runner, ended = behind_boto3(bedrock, "20")
    told = {name: finding.value for name, finding in runner.lab.found.items()}
    assert ended.code == 0
    assert (told["min_tokens"], told["lookback"]) == (700, 9)
    assert (told["lifetime_5m"], told["lifetime_1h"]) == (300, 3600)
    assert (told["refresh"], told["over_5m"]) == (True, "own")


@pytest.mark.parametrize("budget", ["0", "0.02", "0.06", "0.3"])
def test_with_too_small_a_budget_it_stops_in_time_and_says_what_it_knows(bedrock, budget):
    runner, ended = behind_boto3(bedrock, budget)
    assert ended.code == 3
    assert ended.why.startswith(f"the budget of ${budget} ends here")
    # What the service counted, at Sonnet 4.6's prices in a geography: 3.3, 4.125 (5m), 6.6 (1h), 0.33, 16.5.
    spent = sum(map(paid, bedrock.calls))
    assert spent == pytest.approx(float(runner.spent))
    assert spent <= float(budget)
    known = runner.lab.found
    assert "over_5m" not in known
    if budget == "0":
        assert (bedrock.calls, known) == ((), {})
    if budget == "0.02":
        assert known["min_tokens"].value is None
        assert known["min_tokens"].low < 700 <= known["min_tokens"].high
    if budget == "0.06":
        assert known["min_tokens"].high - known["min_tokens"].low < 100
    if budget == "0.3":
        assert (known["min_tokens"].value, known["lookback"].value) == (700, 9)


def paid(call):
    usage = call.usage
    by_ttl = {one["ttl"]: one["inputTokens"] for one in usage.get("cacheDetails", [])}
    return (
        3.3 * usage["inputTokens"]
        + 0.33 * usage["cacheReadInputTokens"]
        + 4.125 * by_ttl.get("5m", 0)
        + 6.6 * by_ttl.get("1h", 0)
        + 16.5 * usage["outputTokens"]
    ) / 1e6


@pytest.mark.parametrize("at", [1, 17, 60, 200, 301])
def test_interrupted_and_taken_up_again_it_asks_nothing_twice(tmp_path, at):
    options = {"min_tokens": 600, "lookback": 7, "eviction": 0.01}
    state, whole = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    local = Local(**options)
    client = Counted(local)
    wish, runner = begun(client, local, state=state)
    assert wish.ask(runner).code == 0

    # The same questions, by the same seed, to an emulator to which the same happens by chance.
    header = state.read_text("utf-8").splitlines()[0]
    whole.write_text(header + "\n", "utf-8")
    local = Local(**options)
    first = Counted(local, lambda number: KeyboardInterrupt() if number == at else None)
    wish, cut = begun(first, local, state=whole)
    ended = wish.ask(cut)
    assert (ended.code, ended.why) == (130, "interrupted")
    second = Counted(local)
    wish, again = begun(second, local, state=whole)
    assert wish.ask(again).code == 0

    # The one that was interrupted had no answer.
    assert first.bodies[:-1] + second.bodies == client.bodies
    assert again.asked == len(client.bodies) - at + 1
    assert again.lab.found == runner.lab.found
    assert again.spent == runner.spent
    places = [json.loads(line)["place"] for line in whole.read_text("utf-8").splitlines()[1:]]
    assert max(Counter(places).values()) == 1


def test_a_pause_that_outlasts_an_entry_changes_nothing_that_is_found(tmp_path):
    state = tmp_path / "state.jsonl"
    local = Local()
    wish, runner = begun(
        Counted(local, lambda n: KeyboardInterrupt() if n == 150 else None), local, state=state
    )
    assert wish.ask(runner).code == 130
    assert runner.lab.probe == "lifetime-5m"
    local.sleep(86_400)
    wish, again = begun(local, local, state=state)
    assert wish.ask(again).code == 0
    found = {name: finding.value for name, finding in again.lab.found.items()}
    assert (found["lifetime_5m"], found["lifetime_1h"], found["refresh"]) == (300, 3600, True)


def test_all_that_was_asked_is_not_asked_again(tmp_path):
    state = tmp_path / "state.jsonl"
    local = Local()
    wish, runner = begun(local, local, Wish(model=SONNET, only=QUICK), state=state)
    assert wish.ask(runner).code == 0
    wish, again = begun(None, local, Wish(model=SONNET, only=QUICK), state=state, budget=runner.spent)
    assert wish.ask(again).code == 0
    assert (again.asked, again.lab.found) == (0, runner.lab.found)


def test_the_state_has_no_text(tmp_path):
    state = tmp_path / "state.jsonl"
    local = Local()
    wish, runner = begun(local, local, Wish(model=SONNET, only=QUICK), state=state)
    wish.ask(runner)
    said = state.read_text("utf-8")
    assert "lighthouse" not in said
    keys = {key for line in said.splitlines()[1:] for key in json.loads(line)}
    assert keys == {"place", "digest", "at", "read", "write", "uncached", "output", "write_1h", "refused"}


def test_a_line_that_was_cut_is_asked_again(tmp_path):
    state = tmp_path / "state.jsonl"
    local = Local()
    wish, runner = begun(local, local, Wish(model=SONNET, only=QUICK), state=state)
    wish.ask(runner)
    state.write_bytes(state.read_bytes()[:-20])
    wish, again = begun(local, local, Wish(model=SONNET, only=QUICK), state=state)
    assert wish.ask(again).code == 0
    assert again.asked == 1
    assert again.lab.found == runner.lab.found


@pytest.mark.parametrize(
    "other",
    [Wish(model="us.anthropic.claude-sonnet-5"), Wish(model=SONNET, resolution=2.0)],
    ids=["model", "resolution"],
)
def test_a_state_of_another_run_is_refused(tmp_path, other):
    state = tmp_path / "state.jsonl"
    local = Local()
    begun(local, local, Wish(model=SONNET), state=state)
    with pytest.raises(ValueError, match=r"was begun with (model|resolution)"):
        begun(local, local, other, state=state)


def test_what_is_no_state_is_refused(tmp_path):
    state = tmp_path / "state.jsonl"
    state.write_text("not JSON\n", "utf-8")
    with pytest.raises(ValueError, match="is no state of a probe"):
        begun(None, Local(), state=state)


def test_a_busy_service_is_asked_again_after_a_wait():
    local = Local()
    client = Counted(local, lambda n: fault("ThrottlingException") if n in (3, 4) else None)
    wish, runner = begun(client, local, Wish(model=SONNET, only=("minimum",)))
    assert wish.ask(runner).code == 0
    assert runner.lab.found["min_tokens"].value == 1024
    assert local.now() == 3.0  # 1 s, then 2 s
    assert runner.asked == len(client.bodies) - 2


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (fault("AccessDeniedException"), "Bedrock answered AccessDeniedException"),
        (fault("ThrottlingException"), "Bedrock was busy 8 times"),
        (EndpointConnectionError(endpoint_url="x"), "Bedrock was not reached: EndpointConnectionError"),
    ],
)
def test_other_errors_end_it_with_what_it_knows(error, why):
    local = Local()
    client = Counted(local, lambda n: error if n > 12 else None)
    wish, runner = begun(client, local)
    ended = wish.ask(runner)
    assert (ended.code, ended.why) == (1, why)
    assert runner.lab.found["min_tokens"].state == "between"


def test_a_model_without_checkpoints_is_refused():
    with pytest.raises(ValueError, match="takes no checkpoints"):
        Wish(model="us.meta.llama3-3-70b-instruct-v1:0")
    with pytest.raises(ValueError, match="resolution is 0"):
        Wish(model=SONNET, resolution=0)


# The command.


@pytest.fixture
def local(monkeypatch):
    emulator = Local(min_tokens=2048, lookback=21)
    monkeypatch.setattr(probing, "client", lambda region, endpoint_url: emulator)
    monkeypatch.setattr(probing, "_sleep", emulator.sleep)
    monkeypatch.setattr(probing.time, "time", lambda: 1_795_000_000 + emulator.now())
    return emulator


def run(*args, model=SONNET):
    return CliRunner().invoke(build(), ["probe", "--model", model, *args])


def test_the_dry_run_says_price_and_time_and_asks_nothing(monkeypatch):
    monkeypatch.setattr(probing, "client", lambda *_: pytest.fail("a client was made"))
    told = run("--dry-run", "--json")
    assert told.exit_code == 0, told.output
    ahead = json.loads(told.stdout)["expected"]
    assert ahead == {
        "requests": expected(Wish(model=SONNET)).requests,
        "dollars": float(expected(Wish(model=SONNET)).cost),
        "seconds": expected(Wish(model=SONNET)).seconds,
    }
    assert re.search(r"about \d+ requests, \$1\.\d\d and 2:\d\d:\d\d", told.stderr), told.stderr


def test_the_price_ahead_is_that_of_the_run(local):
    wish = Wish(model=SONNET)
    plain = Local()
    runner = wish.runner(plain, clock=plain.now, sleep=plain.sleep)
    wish.ask(runner)
    assert (expected(wish).requests, expected(wish).cost) == (runner.asked, runner.spent)


def test_it_prints_a_row_and_where_the_emulator_differs(local):
    told = run("--only", "minimum,lookback,ttl-key")
    assert told.exit_code == 0, told.output
    assert "the emulator differs: min_tokens is 2048, there 1024" in told.stdout
    assert "lookback is" not in told.stdout
    row = tomllib.loads(told.stdout[told.stdout.index("[[models]]") : told.stdout.rindex("\n\n")])["models"][
        0
    ]
    assert (row["min_tokens"], row["min_tokens_safe"], row["lookback"]) == (2048, 2048, 21)
    assert (row["ttls"], row["source"], str(row["checked"])) == (
        ["5m", "1h"],
        "cachepoint probe",
        "2026-11-18",
    )
    assert ModelRules(**row).name == "Claude Sonnet 4.6"


def test_json_says_the_same(local):
    told = run("--only", "minimum", "--json")
    said = json.loads(told.stdout)
    assert said["found"] == [
        {"name": "min_tokens", "state": "found", "value": 2048, "low": 2047, "high": 2048}
    ]
    assert said["emulator_differs"] == [{"name": "min_tokens", "found": 2048, "emulator": 1024}]
    assert said["ended"] == "all was asked"
    assert "# lookback was not found out and is as it was" in said["row"]


def test_the_exit_code_says_that_the_budget_ended_it(local):
    told = run("--budget", "0.03")
    assert told.exit_code == 3
    assert "the budget of $0.03 ends here" in told.stderr
    assert re.search(r"minimum, tokens +unknown \(\d+ to \d+\)", told.stdout)
    assert re.search(r"lookback, blocks +not asked", told.stdout)
    assert "[[models]]" not in told.stdout


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (("--only", "minimun"), "there is no probe 'minimun'"),
        (("--guardrail", "g1"), "give ID:VERSION"),
        (("--budget", "-1"), "--budget is '-1'"),
        (("--resolution", "0"), "resolution is 0"),
    ],
)
def test_wrong_options_are_refused_in_one_line(local, args, why):
    told = run(*args)
    assert told.exit_code == 1
    assert why in told.stderr
    assert "Traceback" not in told.output


def test_without_boto3_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "boto3", None)
    result = CliRunner().invoke(build(), ["probe", "--model", SONNET, "--dry-run"])
    assert result.exit_code == 1
    assert 'pip install "cachepoint[aws]"' in " ".join(result.output.split())
