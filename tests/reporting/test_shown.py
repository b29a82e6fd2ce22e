"""What a value shows of itself: a few lines when printed, a fragment of HTML in a notebook."""

import re
from functools import partial
from html.parser import HTMLParser

import pytest

import cachepoint
from cachepoint import CachePolicy, Plan, PromptCache, Usage
from cachepoint.core.accounting.diagnosis import Miss
from cachepoint.core.drawing import html
from cachepoint.emulator import Calls, EmulatedCall
from cachepoint.langchain import CacheUsageCallbackHandler
from cachepoint.llama_index import CacheUsageEventHandler, CacheUsageLegacyHandler
from cachepoint.reporting.totals import UsageTotals
from tests.observers.reports import SONNET, report, talk

SECRET = "xyzzy"
EVIL = '<img src=x onerror="alert(1)">'
REQUEST = {
    "modelId": SONNET,
    "toolConfig": {
        "tools": [{"toolSpec": {"name": SECRET, "description": SECRET * 300, "inputSchema": {"json": {}}}}]
    },
    "system": [{"text": SECRET * 3_000}],
    "messages": [{"role": "user", "content": [{"text": f"{SECRET} {EVIL}"}]}],
}
VOID = {"img", "br", "meta"}


class Checked(HTMLParser):
    """Every tag that is opened is closed, in its order; what stands outside of tags and styles."""

    def __init__(self, text):
        super().__init__()
        self.open, self.seen, self.said = [], [], ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.seen.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.said += f" {data}"


def looked_at(value):
    """The HTML of a value, parsed: closed, without scripts, and without anything from elsewhere."""
    parsed = Checked(value._repr_html_())
    assert {"script", "link", "img", "iframe"}.isdisjoint(tag for tag, _ in parsed.seen)
    assert not [
        a for _, attributes in parsed.seen for a in attributes if a.startswith("on") or a in {"src", "href"}
    ]
    return parsed


def call(**changes):
    usage = {"inputTokens": 3, "outputTokens": 5, "cacheReadInputTokens": 900, "cacheWriteInputTokens": 100}
    values = {"at": 0.0, "operation": "Converse", "model_id": SONNET, "region": "us-east-1", "status": 200}
    return EmulatedCall(**{**values, "usage": usage, **changes})


def counted():
    totals = UsageTotals()
    totals.add(EVIL, Usage(20, 5, 900, 100, 100, 0), "0.01")
    return totals


def handler(kind):
    made = kind()
    made._totals.add(EVIL, Usage(20, 5, 900, 100, 100, 0), "0.01")
    return made


HANDLERS = (CacheUsageCallbackHandler, CacheUsageEventHandler, CacheUsageLegacyHandler)


def talked():
    s = cachepoint.session(EVIL)
    for one in talk(3):
        s(one)
    return s


# Made in the tests, under their environment.
VALUES = {
    "report": lambda: report(900, 100, model=EVIL),
    "report of a miss": lambda: report(miss=Miss("system_changed", where=EVIL, tokens=700, detail=EVIL)),
    "report without usage": lambda: report(usage=None),
    "plan": lambda: report(ttls=("1h", "5m")).plan,
    "plan of nothing": Plan,
    "plan with a note": lambda: Plan(note=EVIL),
    "policy": lambda: CachePolicy(ttl="1h"),
    "policy of nothing": CachePolicy,
    "totals": counted,
    "totals of nothing": UsageTotals,
    "session": talked,
    "session of nothing": lambda: cachepoint.session(EVIL),
    "picture": lambda: cachepoint.show(REQUEST),
    "picture of what is left alone": lambda: cachepoint.show(REQUEST, policy="off"),
    "calls": lambda: Calls([call(), call(model_id=EVIL)]),
    "calls of which one was refused": lambda: Calls([call(status=400, error=EVIL, message=EVIL, usage=None)]),
    "no calls": Calls,
    **{kind.__name__: partial(handler, kind) for kind in HANDLERS},
}


@pytest.mark.parametrize("name", VALUES)
def test_what_is_shown_is_whole_html_and_all_of_it_is_escaped(name):
    parsed = looked_at(VALUES[name]())

    assert parsed.said.strip()
    assert "onerror" not in [name for _, attributes in parsed.seen for name in attributes]


@pytest.mark.parametrize("name", VALUES)
def test_what_is_printed_are_a_few_lines(name):
    lines = str(VALUES[name]()).splitlines()

    assert 1 <= len(lines) <= 20
    assert not [line for line in lines if len(line) > 240]


def single():
    s = cachepoint.session("nightly")
    s(report(1, 0, 0, miss=Miss("expired", tokens=1)))
    return s


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (
            single,
            ("nightly: 1 call, 1 input token", "expired: 1 call, 1 token lost"),
        ),
        (
            lambda: report(1, 0, 0, miss=Miss("expired", tokens=1)),
            ("1 token in (1 read", "expired, 1 token lost"),
        ),
        (lambda: Plan(report().plan.checkpoints, expected_read_tokens=1), ("1 checkpoint; 1 token should",)),
        (counted, ("1 call, $0.0100 saved",)),
        (lambda: handler(CacheUsageCallbackHandler), ("1 call, $0.0100 saved",)),
    ],
)
def test_of_one_no_plural_is_said(value, said):
    shown = value()

    for words in (str(shown), looked_at(shown).said):
        assert not re.search(r"\b1 (?!input)\w+s\b", words)
    assert [words for words in said if words not in str(shown)] == []


def test_a_report_shows_its_tokens_money_checkpoints_and_miss():
    shown = looked_at(
        report(900, 100, miss=Miss("expired", where="system[0]", tokens=700, remedy="Ask sooner."))
    )

    for said in (
        "read 900",
        "written for 5 min 100",
        "fresh 10",
        "saved",
        "messages[0]",
        "expired at system[0]",
    ):
        assert said in shown.said
    assert "Ask sooner." in shown.said
    bar = [a["style"] for tag, a in shown.seen if tag == "b" and "flex" in a.get("style", "")]
    assert [re.search(r"flex:(\d+)", style)[1] for style in bar] == ["900", "100", "10"]


def test_the_texts_of_a_miss_are_printed_and_not_put_into_a_notebook():
    """A notebook is kept, and handed on."""
    missed = report(miss=Miss("system_changed", before=f"{SECRET} one", after=f"{SECRET} two"))

    assert f"{SECRET} one" in str(missed)
    assert SECRET not in missed._repr_html_()


def test_a_plan_prints_a_line_for_each_checkpoint():
    assert str(report(ttls=("1h", "5m")).plan).splitlines() == [
        "2 checkpoints",
        "  messages[0]  1h  end              2,000",
        "  messages[1]  5m  end              2,000",
    ]
    assert str(Plan(note="mode is off")) == "no checkpoint: mode is off"
    assert str(Plan(report().plan.checkpoints, expected_read_tokens=1_500)).startswith(
        "1 checkpoint; 1,500 tokens should be read\n"
    )


def test_a_policy_shows_what_was_named():
    policy = CachePolicy(ttl="1h", head_ttl=None)

    lines = str(policy).splitlines()
    assert [line.split() for line in lines if "named" in line] == [
        ["ttl", "1h", "(named)"],
        ["head_ttl", "as", "ttl", "(named)"],
    ]
    assert looked_at(policy).said.count("named") == 2


@pytest.mark.parametrize("kind", HANDLERS)
def test_every_handler_prints_and_shows_its_totals(kind):
    one = handler(kind)

    assert str(one).startswith("1 call, $0.0100 saved\n")
    assert "1,020" in looked_at(one).said


def test_in_a_terminal_llama_index_s_handler_says_what_it_counted():
    assert "calls=1" in repr(handler(CacheUsageEventHandler))


def test_calls_print_a_line_each_and_stay_calls_in_a_slice():
    calls = Calls(
        [call(), call(at=60.0), call(status=400, error="ValidationException", message="no", usage=None)]
    )

    assert str(calls).splitlines() == [str(one) for one in calls]
    assert str(calls[:2]).count("\n") == 1
    assert isinstance(calls[:2], Calls)
    assert calls == tuple(calls)
    assert "refused, 400" in looked_at(calls).said


def test_of_many_calls_the_latest_are_shown():
    shown = looked_at(Calls([call(at=float(n)) for n in range(60)]))

    assert shown.said.count("Converse") == 50
    assert "not shown: 10 earlier" in shown.said


def test_single_calls_share_a_row_of_bars_in_a_notebook():
    s = cachepoint.session("questions")
    for n in range(5):
        s(report(0, 2_000, conversation=f"c{n}"))

    assert s._repr_html_().count("<svg") == 1


def test_show_draws_blocks_sizes_and_checkpoints():
    picture = cachepoint.show(REQUEST)

    assert [s.where for s in picture.stretches] == ["tools[0]", "system[0]", "messages[0].content[0]"]
    assert [bool(s.checkpoint) for s in picture.stretches] == [False, True, True]
    assert sum(s.tokens for s in picture.stretches) == picture.tokens == picture.stretches[-1].upto
    assert repr(picture) == str(picture)
    assert "---- checkpoint 5m (head)" in str(picture)
    assert str(picture).isascii()
    assert "5m (head)" in looked_at(picture).said


def test_show_holds_no_prompt_text():
    picture = cachepoint.show(REQUEST)

    assert SECRET not in f"{picture!r}{picture._repr_html_()}{vars(picture)}"


def test_show_draws_what_prepare_would_send_and_leaves_the_memory_alone():
    cache = PromptCache(clock=lambda: 1_000.0)
    first = cachepoint.show(REQUEST, cache=cache)
    written = cache.prepare(REQUEST)
    assert first.plan == written.plan
    cache.settle(
        written,
        {
            "usage": {
                "inputTokens": 3,
                "outputTokens": 1,
                "cacheWriteInputTokens": 6_000,
                "cacheReadInputTokens": 0,
            }
        },
    )

    second = cachepoint.show(REQUEST, cache=cache)
    assert second.expected.startswith("warm for 300 s more")
    assert cachepoint.show(REQUEST, cache=cache) == second
    assert second.plan == cache.prepare(REQUEST).plan


def test_show_of_a_request_that_is_left_alone_draws_the_caller_s_own():
    mine = {**REQUEST, "system": [*REQUEST["system"], {"cachePoint": {"type": "default"}}]}

    assert [s.checkpoint for s in cachepoint.show(mine, policy="off").stretches] == [None, "5m (hand)", None]
    assert "no checkpoint: mode is off" in str(cachepoint.show(REQUEST, policy="off"))
    assert "takes no checkpoints" in str(
        cachepoint.show({**REQUEST, "modelId": "meta.llama3-3-70b-instruct-v1:0"})
    )


def test_show_says_of_a_misspelt_model_that_it_is_not_known():
    request = {"messages": [{"role": "user", "content": [{"text": "x"}]}]}
    shown = str(cachepoint.show(request, model_id="us.anthropic.claude-sonet-4-6"))
    assert "claude-sonet-4-6 takes no checkpoints, as far as is known here" in shown


def test_show_draws_the_bodies_of_invoke_model():
    body = {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 10,
        "system": SECRET * 3_000,
        "messages": [{"role": "user", "content": "hi"}],
    }
    assert "system[0]" in str(cachepoint.show(body, SONNET))
    nova = {
        "schemaVersion": "messages-v1",
        "messages": [{"role": "user", "content": [{"text": SECRET * 3_000}]}],
    }
    assert "messages[0].content[0]" in str(cachepoint.show(nova, "us.amazon.nova-lite-v1:0"))


def test_show_draws_a_long_conversation_in_stretches():
    turns = [{"role": ("user", "assistant")[n % 2], "content": [{"text": SECRET * 100}]} for n in range(99)]
    picture = cachepoint.show({**REQUEST, "messages": turns})

    assert len(picture.stretches) < 10
    assert sum(s.blocks for s in picture.stretches) == 101
    assert "messages[0].content[0] to messages[" in str(picture)


@pytest.mark.parametrize(
    ("request_", "options", "said"),
    [
        ({}, {}, "no model is named"),
        ({"modelId": SONNET, "messages": "hi"}, {}, "a list was expected"),
        ([("user", "hi")], {"model_id": SONNET}, "a request is of <class 'list'>"),
        (None, {"model_id": SONNET}, "a request is of <class 'NoneType'>"),
        (REQUEST, {"cache": 5}, "cache is of <class 'int'>"),
        (REQUEST, {"dialect": "wire"}, "dialect is 'wire'"),
        (REQUEST, {"policy": {"tll": "5m"}}, "no option 'tll'"),
    ],
)
def test_show_refuses_what_is_no_request(request_, options, said):
    with pytest.raises(ValueError, match=said):
        cachepoint.show(request_, **options)


def test_marks_over_a_bar_stand_so_that_no_line_goes_through_a_name():
    drawn = html.rail([(10.0, "a"), (40.0, "b"), (60.0, "c"), (100.0, "d")])

    assert re.findall(r">(\w)</b>", drawn) == ["a", "b", "d", "c"]
    assert "left:10.0%" in drawn
    assert "right:0.0%" in drawn


def test_text_and_lines_take_their_colour_from_around_them():
    """So that they can be read on light and on dark."""
    style = re.search(r"<style>(.*?)</style>", html.fragment("a"))[1]

    assert "color:inherit" in style
    assert not re.search(r"[;{]color:#", style)
    assert not re.search(r"background:#", style)
