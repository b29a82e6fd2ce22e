import doctest
import json
import re
import shlex
from datetime import UTC, datetime
from decimal import Decimal
from itertools import combinations
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cachepoint import Usage
from cachepoint.cli import build
from cachepoint.core.accounting import pricing
from cachepoint.reporting.levers import first_token

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [DOCS / name for name in ("savings.md", "savings-published.md")]
CHATBOT = shlex.split(
    "--requests 200000 --prefix 4000 --user 500 --output 400 --input-price 3 --output-price 15"
)
SONNET = "global.anthropic.claude-sonnet-4-6"


@pytest.fixture(autouse=True)
def _eighty_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


def run(*args):
    return CliRunner().invoke(build(), ["savings", *map(str, args)])


def shown(*args):
    result = run(*args)
    assert result.exit_code == 0, result.output
    return result.stdout


def figures(*args):
    return json.loads(shown(*args, "--json"))


def refused(*args):
    result = run(*args)
    assert result.exit_code == 2, result.output
    return " ".join(re.sub(r"[│╭╮╰╯─]", " ", result.output).split())


def test_the_worked_example_to_the_cent():
    lines = shown(*CHATBOT).splitlines()
    before, after = (line for line in lines if line.split()[:1] == ["total"])
    writes = next(line for line in lines if line.split()[:1] == ["writes"])

    assert before.split()[-1] == "$3,900.00"
    assert writes.split()[-1] == "$4.97"
    assert after.split()[-1] == "$1,744.97"
    assert any("200,000 x 4,500 x $3.00/M" in line for line in lines)
    assert any("200,000 x 4,000 x $0.30/M" in line for line in lines)
    assert any("-55 %, input -80 %" in line for line in lines)
    assert max(map(len, lines)) <= 80


def test_the_worked_example_as_json():
    said = figures(*CHATBOT)

    assert said["before"] == {"input": 2_700, "output": 1_200, "total": 3_900}
    assert list(said["after"]) == ["reads", "writes", "uncached", "output", "total"]
    assert {k: said["after"][k] for k in ("reads", "uncached", "output")} == {
        "reads": 240,
        "uncached": 300,
        "output": 1_200,
    }
    assert round(said["after"]["total"], 6) == round(1_740 + said["after"]["writes"], 6)
    assert (said["ttl"], said["break_even_reads"]) == ("5m", {"5m": 1, "1h": 2})


def commands():
    """The commands of the docs, and what stands below each."""
    text = "\n".join(page.read_text("utf-8") for page in PAGES)
    blocks = re.findall(r"```console\n\$ cachepoint savings (.*?)\n(.*?)```", text, re.DOTALL)
    return [pytest.param(shlex.split(args), output, id=str(n)) for n, (args, output) in enumerate(blocks)]


@pytest.mark.parametrize(("args", "expected"), commands())
def test_every_figure_of_the_docs_is_printed(args, expected):
    printed = "\n".join(line.rstrip() for line in shown(*args).splitlines())
    assert printed.strip() == expected.strip()


def test_the_python_of_the_docs():
    done = doctest.testfile(str(DOCS / "savings-published.md"), module_relative=False)
    assert (done.failed, done.attempted) == (0, 3)


@pytest.mark.parametrize(
    ("requests", "limit"), [(200, "$0.0035"), (20_000, "$0.35"), (2_000_000, "$35.42"), (2, "$0.000035")]
)
def test_the_price_an_hour_is_never_shown_as_nothing(requests, limit):
    """It was "below $0.00 an hour", as of $2.55 a month."""
    said = shown(
        *("--requests", requests, "--prefix", 4000, "--user", 50, "--output", 40),
        *("--input-price", 3, "--output-price", 15),
    )
    assert f"It pays below {limit} an hour" in said


def test_an_expiring_entry_is_said():
    slow = [*CHATBOT, "--rate", 5, "--ttl", "5m"]
    assert "Entries expire" in shown(*slow)
    assert figures(*slow)["miss_share"] > 0.6
    assert "Entries expire" not in shown(*CHATBOT)


def test_a_checkpoint_that_never_pays_is_a_loss():
    forced = [*CHATBOT, "--reuse", 1, "--ttl", "5m"]
    assert figures(*forced)["saved"] == pytest.approx(-200_000 * 4_000 * 0.75 / 1e6)
    assert "Caching costs $600.00: +15 %, input +22 %" in shown(*forced)
    assert figures(*CHATBOT, "--reuse", 1)["ttl"] is None


def test_levers():
    args = ["--smaller", "global.amazon.nova-2-lite-v1:0", "--provisioned-hourly", 20, "--credits", 10_000]
    said = figures(*CHATBOT, *args)
    ways = {way["name"]: way for way in said["ways"]}

    assert ways["batch"]["total"] == 1_950
    assert ways["provisioned"]["total"] == 14_400
    assert ways["no cache"]["months_of_credits"] == pytest.approx(2.56)
    assert ways["cache, 5m"]["months_of_credits"] == pytest.approx(5.73)
    assert ways["Nova 2 Lite"]["total"] == pytest.approx(200_000 * (4_500 * 0.3 + 400 * 2.5) / 1e6)
    assert ways["Nova 2 Lite, 5m"]["total"] < ways["Nova 2 Lite"]["total"]
    assert said["provisioned_break_even_hourly"]["before"] == pytest.approx(3_900 / 720, abs=1e-6)
    assert said["provisioned_break_even_requests"]["before"] == round(200_000 * 14_400 / 3_900)


def test_a_prefix_below_the_minimum_caches_nothing():
    model = "global.anthropic.claude-haiku-4-5-20251001-v1:0"
    args = ["--requests", 1_000, "--prefix", 4_000, "--model", model]
    said = figures(*args)
    assert said["before"]["total"] == said["after"]["total"]
    assert "Claude Haiku 4.5 caches from 4,096 tokens on." in said["notes"]
    assert figures(*args[:3], 5_000, *args[4:])["saved"] > 0


def test_a_model_that_takes_no_checkpoints():
    said = figures("--requests", 1_000, "--prefix", 4_000, "--model", "meta.llama3-3-70b-instruct-v1:0")
    assert said["saved"] == 0
    assert said["ttl"] is None


def test_nova_caches_so_much_and_no_more():
    said = figures("--requests", 100_000, "--prefix", 30_000, "--model", "us.amazon.nova-pro-v1:0")
    assert said["after"]["reads"] == pytest.approx(100_000 * 20_000 * 0.2 / 1e6)
    assert said["after"]["uncached"] == pytest.approx(100_000 * 10_000 * 0.8 / 1e6)


def test_multipliers_and_prices_replace_the_models():
    said = figures(
        *CHATBOT,
        "--read-multiplier",
        0.05,
        "--write-price",
        3.6,
        "--write-1h-multiplier",
        1.9,
        "--model",
        SONNET,
    )
    assert said["prices_per_million"] == {
        "input": 3,
        "output": 15,
        "read": 0.15,
        "write_5m": 3.6,
        "write_1h": 5.7,
    }
    own = figures("--requests", 10, "--prefix", 5_000, "--model", SONNET, "--input-price", 2)
    assert own["prices_per_million"] == {
        "input": 2,
        "output": 15,
        "read": 0.2,
        "write_5m": 2.5,
        "write_1h": 4,
    }


def test_prices_as_of_a_date():
    model = ["--requests", 1_000_000, "--user", 1, "--model", "global.openai.gpt-5.6-sol"]
    assert figures(*model, "--date", "2026-08-20")["before"]["input"] == 5
    assert figures(*model, "--date", "2026-08-22")["before"]["input"] == 4


def lines_of(path, *lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return path


WRITE, READ = Usage(500, 400, 0, 4_000, 4_000, 0), Usage(500, 400, 4_000, 0, 0, 0)


def report(usage, minute, model=SONNET):
    started = datetime(2026, 11, 22, 12, minute, tzinfo=UTC).isoformat(timespec="milliseconds")
    return {"model_id": model, "started": started, "usage": None if usage is None else usage.as_dict()}


def test_measured_calls(tmp_path):
    path = lines_of(
        tmp_path / "calls.jsonl",
        report(WRITE, 0),
        report(READ, 2),
        report(None, 2),
        report(READ, 3, "meta.made-up"),
    )
    said = figures("--from", path)
    at = datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp()

    assert (said["calls"], said["unpriced_calls"], said["lines_without_usage"]) == (2, 1, 1)
    for name, amount in said["after"].items():
        parts = [pricing.amounts(usage, SONNET, at) for usage in (WRITE, READ)]
        assert amount == pytest.approx(float(sum(getattr(part, name) for part in parts)))
    assert said["before"]["total"] == pytest.approx(2 * (4_500 * 3 + 400 * 15) / 1e6)
    assert "meta.made-up" in said["notes"][0]
    month = figures("--from", path, "--requests", 2_000)
    assert month["before"]["total"] == pytest.approx(1_000 * said["before"]["total"])
    assert "2 measured calls over 2.0 minutes" in shown("--from", path)


def test_measured_usage_in_other_shapes(tmp_path):
    path = lines_of(
        tmp_path / "usage.jsonl",
        {"inputTokens": 500, "outputTokens": 400, "cacheReadInputTokens": 4_000, "cacheWriteInputTokens": 0},
        {"usage": {"input_tokens": 500, "output_tokens": 400, "cache_read_input_tokens": 4_000}},
        READ.as_dict(),
        {
            "modelId": SONNET,
            "timestamp": "2026-11-22T12:00:00Z",
            "input": {
                "inputTokenCount": 500,
                "cacheReadInputTokenCount": 4_000,
                "cacheWriteInputTokenCount": 0,
            },
            "output": {"outputTokenCount": 400},
        },
    )
    said = figures(
        "--from", path, "--model", SONNET, "--smaller", "global.amazon.nova-2-lite-v1:0", "--credits", 5
    )
    assert said["calls"] == 4
    assert said["after"]["reads"] == pytest.approx(4 * 4_000 * 0.3 / 1e6)
    assert [way["name"] for way in said["ways"]][2:] == [
        "Nova 2 Lite",
        "Nova 2 Lite, same reads",
        "Nova 2 Lite, batch",
        "batch",
    ]
    assert any("carry no times" in note for note in said["notes"])


def test_the_levers_and_what_stacks_with_what():
    rows = [line.split()[0] for line in shown("--table").splitlines() if line[:1].strip()]
    assert {"on-demand", "caching", "batch", "provisioned", "smaller", "flex", "priority"} <= set(rows)
    modes = {mode["name"]: mode for mode in json.loads(shown("--table", "--json"))["modes"]}
    assert len(modes) == 7
    assert {one["name"] for one in modes["caching"]["excludes"]} == {"batch", "provisioned"}
    assert {one["name"] for one in modes["caching"]["stacks_with"]} == {"smaller model", "flex", "priority"}
    for mode in modes.values():
        assert mode["source"]
        assert all(pair["why"] and pair["source"] for pair in mode["stacks_with"] + mode["excludes"])


LEVERS = (
    *("--requests", 200_000, "--prefix", 4_000, "--user", 500, "--output", 400, "--credits", 1_000),
    *("--model", "us.amazon.nova-pro-v1:0", "--smaller", "us.amazon.nova-2-lite-v1:0"),
    *("--provisioned-hourly", 20, "--date", "2026-11-22"),
)


def test_all_levers_of_one_workload_in_one_table():
    """Which stack and which exclude one another, how long the credits last under each, and which costs least."""
    said = figures(*LEVERS)
    ways = {way["name"]: way for way in said["ways"]}
    held = {frozenset(way["levers"]) for way in ways.values()}
    excluded = {frozenset(two) for two in said["exclude_one_another"]}
    assert not [one for one in held if any(two <= one for two in excluded)]
    pairs = {frozenset(two) for one in held for two in combinations(sorted(one), 2)}
    alone = {lever for one in held for lever in one}
    assert alone == {"caching", "flex", "priority", "smaller model", "batch", "provisioned"}
    # Every two of them are in one row, or exclude one another; but what a unit of the smaller model costs.
    apart = {frozenset({"provisioned", "smaller model"})}
    assert pairs | excluded | apart == {frozenset(two) for two in combinations(sorted(alone), 2)}

    plain, cached = ways["no cache"]["total"], ways["cache, 5m"]["total"]
    assert ways["flex"]["total"] == pytest.approx(plain / 2)
    assert ways["flex, 5m"]["total"] == pytest.approx(cached / 2)
    assert ways["priority, 5m"]["total"] == pytest.approx(cached * 1.75)
    assert ways["Nova 2 Lite, batch"]["total"] == pytest.approx(ways["Nova 2 Lite"]["total"] / 2)
    assert all(way["months_of_credits"] == round(1_000 / way["total"], 2) for way in ways.values())
    (cheapest,) = (way for way in ways.values() if way["costs_least"])
    assert cheapest["total"] == min(way["total"] for way in ways.values())
    assert cheapest["note"].startswith("costs least")


def test_the_table_of_levers_says_what_excludes_what():
    words = " ".join(shown(*LEVERS).split())
    assert "Of these exclude one another: caching and batch, caching and provisioned, batch and" in words
    assert words.count("costs least") == 1
    assert "flex, 5m" in words


def test_no_tier_is_made_up():
    """Sonnet has none; of prices that are given none is known."""
    names = [
        way["name"] for way in figures("--requests", 1_000, "--prefix", 4_000, "--model", SONNET)["ways"]
    ]
    assert names == ["no cache", "cache, 5m", "cache, 1h", "batch"]
    given = (
        "--requests",
        1_000,
        "--model",
        "us.amazon.nova-pro-v1:0",
        "--input-price",
        1,
        "--output-price",
        2,
    )
    assert "flex" not in [way["name"] for way in figures(*given)["ways"]]


def test_the_first_token_is_an_estimate_with_its_source():
    words = " ".join(shown(*CHATBOT).split())
    assert "First token, an estimate: after 1.00 s, 0.80 s where the prefix is read." in words
    assert 'Anthropic, "Prompt caching with Claude" (2024-08-14) measured of Claude, not on Bedrock' in words
    said = figures(*CHATBOT)["first_token_estimate"]
    assert (said["fresh_seconds"], said["read_seconds"], said["checked"]) == (0.995, 0.795, "2024-08-14")
    assert "First token" not in shown("--requests", 1_000, "--model", SONNET, "--prefix", 500)


@pytest.mark.parametrize(
    ("tokens", "fresh", "read"), [(10_000, "1.6", "1.1"), (100_000, "11.5", "2.4"), (20_000, "2.7", None)]
)
def test_the_estimate_goes_through_what_was_measured(tokens, fresh, read):
    seen = first_token(tokens, tokens)
    assert seen.fresh == pytest.approx(Decimal(fresh))
    assert read is None or seen.read == pytest.approx(Decimal(read))
    assert seen.read < seen.fresh
    assert first_token(tokens, 0).read == first_token(tokens, 0).fresh


def test_a_measured_call_in_a_tier_is_priced_by_it(tmp_path):
    """As its own report priced it."""
    nova = "us.amazon.nova-pro-v1:0"
    lines = [report(READ, 1, nova), report(READ, 2, nova) | {"tier": "flex"}]
    usual, flex = (
        figures("--from", lines_of(tmp_path / "c.jsonl", line))["after"]["total"] for line in lines
    )
    assert flex == pytest.approx(usual / 2, abs=1e-6)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "--requests is missing"),
        (["--requests", 5], "no prices: give --model, or --input-price and --output-price"),
        (["--requests", 5, "--model", "meta.made-up"], "no model 'meta.made-up' is known"),
        (["--requests", 5, "--model", "nova-2-lite"], "or name 'global.amazon.nova-2-lite-v1:0'"),
        (["--requests", 10**13, "--model", SONNET], "requests is 1.00e+13; give a number of at most"),
        ([*CHATBOT, "--rate", "1e308"], "rate is 1e+308; give a number of at most"),
        ([*CHATBOT, "--read-price", "1e9"], "--read-price is 1e+9; give US dollars per million tokens below"),
        (["--requests", 0, "--model", SONNET], "requests is 0; give a number of at least 1"),
        ([*CHATBOT, "--ttl", "2h"], "--ttl is '2h'; use auto or one of 5m, 1h"),
        ([*CHATBOT, "--rate", 0], "rate is 0"),
        ([*CHATBOT, "--rate", "nan"], "--rate is nan; give a number of at least 0"),
        ([*CHATBOT, "--credits", "-5"], "--credits is -5; give a number of at least 0"),
        ([*CHATBOT, "--read-price", "free"], "--read-price is 'free'; give US dollars per million"),
        (
            ["--requests", 5, "--prefix", 5_000, "--ttl", "1h", "--model", "us.amazon.nova-pro-v1:0"],
            "--ttl is 1h, and us.amazon.nova-pro-v1:0 has no price for 1h writes",
        ),
        (["--from", "/nowhere.jsonl"], "/nowhere.jsonl: No such file or directory"),
        (["--from", PAGES[0], "--requests", 0], "requests is 0; give a number from 1"),
    ],
)
def test_errors_name_the_value_and_what_to_do(args, message):
    assert message in refused(*args)


def test_errors_in_a_file_name_the_line(tmp_path):
    path = tmp_path / "c.jsonl"
    path.write_text('{"usage": null}\n[1]\n', "utf-8")
    assert "line 2 is not a report of a call" in refused("--from", path)
    assert "has usage" in refused("--from", lines_of(path, {"usage": None}))
    assert "no price is known for meta.x" in refused("--from", lines_of(path, report(READ, 1, "meta.x")))


NEARLY = (
    "claude-sonnet-4-6",
    "US.Anthropic.Claude-Sonnet-4-6",
    "bedrock_converse:us.anthropic.claude-sonnet-4-6",
)


@pytest.mark.parametrize("text", NEARLY)
def test_c7_a_model_that_is_nearly_named_is_the_model(text):
    """C7: a model without its region or provider, in upper case or with LangChain's prefix saved 0 %."""
    workload = ["--requests", 200_000, "--prefix", 4_000]
    said = figures(*workload, "--model", text)
    assert said["saved_share"] > 0.5
    assert said["notes"][0].startswith(f"{text!r} is taken for ")
    exact = figures(*workload, "--model", "us.anthropic.claude-sonnet-4-6")
    assert said["after"] == exact["after"]
    assert not any("is taken for" in note for note in exact["notes"])


@pytest.mark.parametrize("option", ["--model", "--smaller"])
@pytest.mark.parametrize("text", ["claude-sonet-4-6", "us.anthropic.claude-sonnet-4-6-v9:1m", "sonnet"])
def test_c7_a_model_that_is_not_known_is_never_said_to_save_nothing(option, text):
    """C7: a typo is answered with what is near it."""
    said = refused("--requests", 5, "--prefix", 5_000, "--model", SONNET, option, text)
    assert f"no model {text!r} is known; do you mean" in said
    assert "anthropic.claude-sonnet-4-6'" in said


def test_c7_a_profile_that_hides_its_model_is_refused():
    """C7: nothing is known of what stands behind such an ARN, so nothing is said of what it saves."""
    arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc"
    said = refused(*CHATBOT, "--model", arn)
    assert "hides its model; give the id of the model behind it" in said


@pytest.mark.parametrize(
    ("args", "cheapest"),
    [
        ([], "cache, 5m"),
        (["--rate", 5], "batch"),
        (["--provisioned-hourly", 0.5], "provisioned"),
        (["--model", SONNET, "--smaller", "global.amazon.nova-2-lite-v1:0"], "Nova 2 Lite, batch"),
    ],
)
def test_c8_costs_least_stands_on_the_cheapest_row(args, cheapest):
    """C8: "costs least" stood on the cheapest cache, beside a row that cost less."""
    ways = figures(*CHATBOT, *args)["ways"]
    assert [way["name"] for way in ways if way["note"].startswith("costs least")] == [cheapest]
    assert min(ways, key=lambda way: way["total"])["name"] == cheapest


def test_c8_of_measured_calls_too(tmp_path):
    """C8: what was measured is one of the rows."""
    path = lines_of(tmp_path / "c.jsonl", report(WRITE, 0), *(report(READ, 1) for _ in range(30)))
    row = next(line for line in shown("--from", path).splitlines() if line.startswith("as measured"))
    assert row.rstrip().endswith("costs least")


WRONG = (
    [1],
    [["a", 1]],
    "",
    5,
    {"usage": "x"},
    {"usage": 5},
    {"usage": {"inputTokens": "5"}},
    {"usage": {"inputTokens": 1.5}},
    {"usage": {"inputTokens": -5}},
    {"usage": {"inputTokens": 10**40}},
    {"input": "x", "output": "y"},
    {"model_id": 5, "usage": READ.as_dict()},
    {"priced_as": ["x"], "usage": READ.as_dict()},
)


@pytest.mark.parametrize("line", WRONG, ids=str)
def test_c11_a_wrongly_typed_line_is_in_no_sum_and_is_told(line, tmp_path):
    """C11: `savings --from` ended in a traceback, or counted what is no number of tokens."""
    path = lines_of(tmp_path / "c.jsonl", report(WRITE, 0), line, report(READ, 1))
    said = figures("--from", path)
    assert (said["calls"], said["lines_that_are_no_calls"]) == (2, 1)
    assert f"{path}: line 2 is not a report of a call." in said["notes"]


@pytest.mark.parametrize("when", [1e308, 1_790_000_000_000, "soon", "9999-12-31T23:59:59-23:00", [1]])
def test_c11_a_time_that_cannot_be_is_not_known(when, tmp_path):
    """C11: the price is today's."""
    path = lines_of(tmp_path / "c.jsonl", {**report(READ, 0), "started": when})
    said = figures("--from", path)
    assert (said["calls"], said["lines_that_are_no_calls"]) == (1, 0)


def test_c11_calls_from_standard_input():
    """C11: `-` was a file that does not exist."""
    line = json.dumps(report(READ, 0)) + "\n"
    done = CliRunner().invoke(build(), ["savings", "--from", "-", "--json"], input=line + "{\n" + line)
    said = json.loads(done.stdout)
    assert said["calls"] == 2
    assert "standard input: line 2 is not a report of a call." in said["notes"]
