"""What is learned of system texts: what it costs, how long it is kept, and whom it holds for."""

import gc
import os
import time
import weakref
from threading import Event, Thread

import pytest

from cachepoint import PromptCache
from cachepoint.emulator import BedrockEmulator
from cachepoint.llama_index import CachedBedrockConverse
from cachepoint.llama_index.engines import _GRAIN, _LINES, SystemTexts, _first_word
from cachepoint.llama_index.seam import texts_of
from tests.adapters.contract import CLAUDE
from tests.adapters.llama_index_adapter import where
from tests.adapters.llama_index_shapes import message
from tests.adapters.test_contract import points
from tests.aws.stubs import boto

RULES = "\n".join(f"Rule {n}: answer in full sentences and name the page, case {n}." for n in range(120))
HOSTILE = {
    "blanks": " ",
    "tabs": "\t",
    "dashes": "-",
    "blanks and dashes": " -",
    "empty lines": "\n",
    "lines of blanks": "   \n",
    "lines of dashes": "---\n",
    "letters": "x",
    "lines of letters": "x\n",
    "wide letters": "é",
}


def best(step, tries=3):
    """Seconds of the quickest try: what else the machine does only adds."""
    took = []
    for _ in range(tries):
        began = time.perf_counter()
        step()
        took.append(time.perf_counter() - began)
    return min(took)


@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE)
def test_d2_a_line_of_blanks_or_dashes_is_read_in_its_length(unit):
    """D2: 20,000 blanks or dashes in a line took 4.3 s, a quadratic regular expression."""
    text = unit * (400_000 // len(unit))
    assert best(lambda: _first_word(text, 0)) < 0.05
    tail = "One.\n" + text + "\nTwo."
    assert best(lambda: _first_word(tail, 5)) < 0.05
    assert best(lambda: SystemTexts().see(text, 4_096)) < 0.2


def test_d2_a_system_prompt_with_a_line_of_blanks_is_sent_at_once(bedrock, cache):
    """D2: as a whole, through the model."""
    llm = CachedBedrockConverse(
        CLAUDE, **where(bedrock), prompt_cache=cache, cache_policy={"reorder": "stable_first"}
    )

    def ask(n):
        text = f"Found {n}.\n" + "-" * 20_000 + " " * 20_000 + "\n" + RULES
        llm.chat([message("system", text), message("user", "Why?")])

    for n in range(3):
        ask(n)
    assert best(lambda: ask(time.perf_counter_ns())) < 1
    assert bedrock.answered[-1].request["system"][0]["text"] == RULES


@pytest.mark.parametrize(
    ("text", "start", "word"),
    [
        ("a", 0, 0),
        ("  a", 0, 2),
        ("---\n\t a", 0, 6),
        ("  - a", 0, 2),
        ("x\n  \n---\n", 2, 2),
        ("x y\n  z", 2, 6),
        ("x y", 2, 2),
        ("", 0, 0),
        ("\n\n  é", 0, 4),
    ],
)
def test_d2_where_an_ending_s_own_words_begin(text, start, word):
    """D2: the same places as before: behind the indentation of the first whole line that says something."""
    assert _first_word(text, start) == word


def test_texts_of_many_lines_are_told_apart_by_few_endings():
    texts = SystemTexts()
    texts.see("x\n" * 200_000, 4_096)
    # By line where prompts are, and by one part in 256 before that.
    assert len(texts) < _LINES + _GRAIN * 7
    assert best(lambda: texts.see("x\n" * 200_000, 4_096), 1) < 0.2


def test_the_ending_of_a_long_text_is_found_all_the_same():
    long = "\n".join(f"Rule {n}: name the page." for n in range(10_000))
    texts = SystemTexts()
    ending = None
    for n in range(4):
        ending = texts.see(f"Found {n}.\n\n" + long, 4_096)
    shared = len(f"Found {3}.\n\n" + long) - ending.start
    assert len(long) * (1 - 1 / _GRAIN) - 30 < shared <= len(long)


def test_d7_what_was_not_seen_again_is_forgotten():
    """D7: nothing is kept for ever, however few there are."""
    now = [0.0]
    texts = SystemTexts(max_age=100, clock=lambda: now[0])
    for n in range(5):
        now[0] += 30
        texts.see(f"{n}\n" + RULES, 4_096)
    kept = len(texts)
    now[0] += 90
    texts.see("other\n" * 2_000, 4_096)
    assert len(texts) > kept - 5
    now[0] += 101
    texts.see("last " + RULES, 4_096)
    assert len(texts) < kept


def test_d7_what_was_learned_goes_with_its_cache():
    """D7: a cache that nobody holds leaves nothing."""
    cache = PromptCache()
    learned = weakref.ref(texts_of(cache))
    assert texts_of(cache) is learned()
    del cache
    gc.collect()
    assert learned() is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a8_a_child_forked_while_a_text_is_learned_learns_on():
    """A8: the lock is made anew in the child."""
    texts, held, done = SystemTexts(), Event(), Event()

    def hold():
        with texts._lock:
            held.set()
            done.wait()

    thread = Thread(target=hold)
    thread.start()
    held.wait()
    child = os.fork()
    if not child:
        os._exit(texts._lock.locked())
    status = os.waitpid(child, 0)[1]
    done.set()
    thread.join()
    assert os.waitstatus_to_exitcode(status) == 0


@pytest.mark.parametrize("regions", [("us-east-1", "us-east-1"), ("us-east-1", "us-west-2")])
def test_c17_what_one_endpoint_was_sent_says_nothing_of_another(regions):
    """C17: two emulators or two Regions of one, one PromptCache: the second one's first call begins anew."""
    cache = PromptCache()
    with BedrockEmulator() as one, BedrockEmulator() as second:
        other = second if len(set(regions)) == 1 else one
        places = zip((one, other), regions, strict=True)
        clients = [boto(b.url, region=region) for b, region in places]
        llms = [
            CachedBedrockConverse(
                CLAUDE, client=c, prompt_cache=cache, cache_policy={"reorder": "stable_first"}
            )
            for c in clients
        ]
        ask = [[message("system", f"Found {n}.\n" + RULES), message("user", "Why?")] for n in range(5)]
        for messages in ask[:4]:
            llms[0].chat(messages)
        assert len(one.calls[-1].request["system"]) == 3
        llms[1].chat(ask[4])
        assert [b.get("text") for b in other.calls[-1].request["system"] if "text" in b] == [
            ask[4][0].content
        ]
        assert len(list(points(other.calls[-1].request))) >= 1
        for c in clients:
            c.close()
