"""cachepoint check: what of a saved request the cache can't use, and what Bedrock would refuse."""

import json
import re

import pytest
from builders import NOVA, SONNET, assistant, point, result, text, tool, use, user
from typer.testing import CliRunner

from cachepoint.cli import build
from cachepoint.cli.check.rules import RULES
from tests.cli.pairs import RULES as LINES

LLAMA = "us.meta.llama3-3-70b-instruct-v1:0"
SYSTEM = {"system": [text(1_500), point()]}
ASK = [user(text(200))]
REASONING = {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "x"}}}
TOOLS = {"toolConfig": {"tools": [tool("alpha"), tool("beta")]}}
TURN = [user(text(300)), assistant({"text": "yes"})]


def clocked(*more):
    return {"system": [{"text": f"Now it is 10:31:07.\n{LINES}"}, *more]}


# By name: the model, the request, the rule, its place, and what Bedrock answers.
CASES = {
    "volatile": (SONNET, {**clocked(point()), "messages": ASK}, "volatile-prefix", "system[0]", None),
    "uuid": (
        SONNET,
        {"system": [{"text": f"{LINES}\nid 0d3e5a6e-3c1b-4f7e-9b7c-2f4f5a6b7c8d"}, point()], "messages": ASK},
        *("volatile-prefix", "system[0]", None),
    ),
    "clock in a tool": (
        SONNET,
        {"toolConfig": {"tools": [tool("now 10:31:07")]}, **SYSTEM, "messages": ASK},
        *("volatile-prefix", "tools[0]", None),
    ),
    "never read": (SONNET, {**clocked(point()), "messages": ASK}, "never-read", "system[0]", None),
    "date": (
        SONNET,
        {"system": [{"text": f"2026-11-26\n{LINES}"}, point()], "messages": ASK},
        "date-in-prefix",
        "system[0]",
        None,
    ),
    "unsorted": (
        SONNET,
        {"toolConfig": {"tools": [tool("zeta"), tool("alpha")]}, "messages": ASK},
        "unsorted-tools",
        "tools[1]",
        None,
    ),
    "short": (
        SONNET,
        {"system": [text(100), point()], "messages": [user(text(3_000))]},
        "below-minimum",
        "system[0]",
        None,
    ),
    "small": (SONNET, {"messages": ASK}, "too-short", "request", None),
    "five": (
        SONNET,
        {"messages": [user(*[block for i in range(5) for block in (text(400, f"{i} "), point())])]},
        *(
            "too-many-checkpoints",
            "messages[0].content[8]",
            "A maximum of 4 blocks with cache_control may be provided. Found 5.",
        ),
    ),
    "nothing before it": (
        SONNET,
        {"messages": [user(point(), text(2_000))]},
        *("nothing-to-cache", "request", "There is nothing available to cache."),
    ),
    "behind reasoning": (
        SONNET,
        {**SYSTEM, "messages": [*ASK, assistant(REASONING, point()), user(text(9))]},
        *(
            "misplaced-checkpoint",
            "messages[1].content[0]",
            "Cache point cannot be inserted after reasoning block.",
        ),
    ),
    "ttl order": (
        SONNET,
        {**SYSTEM, "messages": [user(text(200), point("1h"))]},
        *("ttl-order", "messages[0].content[0]", "must not come after a ttl='5m'"),
    ),
    "ttl unknown": (
        NOVA,
        {"system": [text(2_000), point("1h")], "messages": ASK},
        "ttl-unknown",
        "system[0]",
        None,
    ),
    "tools of Nova": (
        NOVA,
        {"toolConfig": {"tools": [tool("a", 2_000), point()]}, "messages": ASK},
        *("misplaced-checkpoint", "tools[0]", "extraneous key [cachePoint] is not permitted"),
    ),
    "no caching": (
        LLAMA,
        {**SYSTEM, "messages": ASK},
        "model-takes-none",
        "system[0]",
        "You invoked an unsupported model",
    ),
    "far behind": (
        SONNET,
        {
            **SYSTEM,
            "messages": [
                user(text(300)),
                assistant(*[use("alpha", f"t{i}") for i in range(12)]),
                user(*[result(f"t{i}") for i in range(12)], point()),
            ],
        },
        *("beyond-lookback", "messages[2].content[11]", None),
    ),
}
CLEAN = {
    "marked well": {**TOOLS, **SYSTEM, "messages": [*TURN, user(text(100), point())]},
    "not marked": {**TOOLS, "system": SYSTEM["system"][:1], "messages": TURN[:1]},
    "a clock in the newest message": {**SYSTEM, "messages": [user({"text": "It is 10:31:07."})]},
    "a clock behind the last checkpoint": {
        "system": [text(1_500), point(), {"text": "Now: 10:31:07"}],
        "messages": [user(text(3))],
    },
}


@pytest.fixture
def check(tmp_path):
    def check(request, *options, model=SONNET):
        file = tmp_path / "request.json"
        file.write_bytes(request if isinstance(request, bytes) else json.dumps(request).encode())
        return CliRunner().invoke(build(), ["check", str(file), "--model", model, *options])

    return check


@pytest.mark.parametrize("name", CASES)
def test_what_is_wrong_is_found(check, name):
    model, request, rule, where, refusal = CASES[name]
    result = check(request, "--json", model=model)
    found = [f for f in json.loads(result.stdout)["findings"] if f["rule"] == rule]

    assert [f["where"] for f in found] == [where]
    assert found[0]["remedy"].endswith(".")
    assert (refusal is None) or refusal in found[0]["refusal"]
    assert result.exit_code == (RULES[rule].level != "note")


def test_every_rule_has_a_case():
    assert {rule for _, _, rule, _, _ in CASES.values()} == set(RULES)


@pytest.mark.parametrize("name", CLEAN)
def test_what_is_right_has_no_findings(check, name):
    result = check(CLEAN[name])

    assert result.exit_code == 0
    assert result.stdout.endswith("no findings\n")


def test_notes_count_where_they_are_asked_for(check):
    request = CASES["unsorted"][1]

    assert check(request).exit_code == 0
    assert check(request, "--strict").exit_code == 1


def test_the_picture_shows_the_parts_and_both_kinds_of_checkpoints(check):
    lines = check(CLEAN["marked well"] | {"messages": [*TURN, user(text(100))]}).stdout.splitlines()

    assert re.fullmatch(r"Claude Sonnet 4\.6, about [\d,]+ tokens in 6 blocks", lines[0])
    assert any(line.startswith("  tools[0] to tools[1], 2 blocks ") for line in lines)
    assert "  ── checkpoint in the request, 5m ──" in lines
    assert any(
        re.match(r"  ── checkpoint that cachepoint places, (5m|1h) \(\w+\) ──", line) for line in lines
    )


def test_annotations_of_github(check):
    lines = check(CASES["five"][1], "--format", "github").stdout.splitlines()

    assert re.match(
        r"::error file=[^,]+request\.json,line=1,title=cachepoint too-many-checkpoints::messages", lines[0]
    )
    assert all(re.match(r"::(error|warning|notice) ", line) for line in lines)


def test_sarif(check):
    log = json.loads(check(CASES["ttl order"][1], "--format", "sarif").stdout)
    run = log["runs"][0]
    rules = run["tool"]["driver"]["rules"]

    assert log["version"] == "2.1.0"
    assert run["results"]
    for one in run["results"]:
        assert rules[one["ruleIndex"]]["id"] == one["ruleId"]
        assert one["level"] in {"error", "warning", "note"}
        assert one["locations"][0]["physicalLocation"]["artifactLocation"]["uri"].endswith("request.json")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (b'{"messages": [\n  {"role": "user",}\n]}', "line 2: no JSON"),
        (b"[1, 2]", "line 1: no request: an object with messages"),
        (b'{"prompt": "hi"}', 'line 1: no request: it has no list under "messages"'),
        (b'{"messages": ["hi"]}', "no request: a message is of"),
        (b'{"messages": [\n\xff]}', "line 2: no UTF-8 text"),
        (b"[" * 100_000, "line 1: "),
        (b"", "line 1: no JSON"),
    ],
)
def test_what_is_no_request_is_said_with_its_line(check, written, said):
    result = check(written)

    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stdout == ""


def test_a_missing_file_and_an_unknown_model_are_no_findings(check, tmp_path):
    missing = CliRunner().invoke(build(), ["check", str(tmp_path / "none.json")])

    assert missing.exit_code == 2
    assert check({"messages": ASK}, model="claude-sonet").exit_code == 2


def test_bodies_of_invokemodel_are_read(check):
    body = {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 9,
        "system": [{"type": "text", "text": LINES, "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "hi", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
                ],
            }
        ],
    }
    told = json.loads(check(body, "--json").stdout)

    assert told["form"] == "messages"
    assert [f["rule"] for f in told["findings"]] == ["ttl-order"]


def test_no_text_of_the_prompt_is_printed(check):
    secret = {"system": [{"text": f"password hunter2 at 10:31:07\n{LINES}"}, point()], "messages": ASK}

    assert all(
        "hunter2" not in check(secret, *form).output for form in ((), ("--json",), ("--format", "sarif"))
    )
