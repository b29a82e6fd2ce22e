"""Retrieved texts are found again inside prompts; nothing of them is kept."""

import pickle
import subprocess
import sys
import threading
import uuid
from datetime import UTC, date, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cachepoint import documents, volatile
from cachepoint.core import forks
from cachepoint.core.prompt.documents import Announced, changing, retrieved

TEXTS = st.text(min_size=45, max_size=300).filter(lambda t: t.strip() == t and len(t) >= 45)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(TEXTS, min_size=1, max_size=4, unique=True),
    st.sampled_from(["\n\n", "\n---\n", "</doc>\n<doc>"]),
)
def test_documents_are_found_where_they_stand(texts, separator):
    known = Announced()
    known.announce(texts)
    prompt = "Context:\n" + separator.join(texts) + "\n\nQuestion: why?"

    spans = known.spans(prompt)
    assert spans[-1][1] == len("Context:\n" + separator.join(texts))


def test_the_longest_of_two_that_begin_alike_is_found():
    known = Announced()
    short = "The pump runs at forty degrees and no more than that."
    known.announce([short, short + " It stops at fifty."])

    assert known.spans(f"({short} It stops at fifty.)") == [(1, 1 + len(short) + 19)]


def test_what_was_not_announced_is_not_found():
    assert Announced().spans("Context: " + "a valve " * 40) == []


def test_d7_it_is_bounded_in_count_and_age():
    """D7: what is older than max_age is not found any more, though nothing was announced since."""
    now = [0.0]
    known = Announced(capacity=3, max_age=10.0, clock=lambda: now[0])
    texts = [f"{i} is the number of this document, which is long enough" for i in range(9)]
    known.announce(texts)
    assert len(known) == 3
    assert [bool(known.spans(t)) for t in texts] == [False] * 6 + [True] * 3
    now[0] = 6.0
    known.announce(texts[8:])
    now[0] = 11.0
    assert [bool(known.spans(t)) for t in texts[6:]] == [False, False, True]
    assert len(known) == 1
    now[0] = 17.0
    assert known.spans(texts[8]) == []
    assert kept(known) == [0, 0, 0, 0]


def kept(known):
    return [len(table) for table in (known._texts, known._nodes, known._windows, known._short)]


def test_what_was_dropped_is_forgotten_whole():
    known = Announced(capacity=2)
    known.announce([f"file_path: manuals/pump.pdf page {i}, {'x' * i} long enough" for i in range(200)])
    known.announce(["short", "brief"])
    assert kept(known) == [2, 2, 0, 1]
    known.announce([DASHES + "1", DASHES + "2"])
    assert kept(known) == [2, 1, 1, 0]
    assert len(known.spans(DASHES + "1\n" + DASHES + "2")) == 2


DASHES = "-" * 60


def test_a_document_is_as_much_of_it_as_is_no_white_space():
    """B1: a page number in white space cut words and numbers of every prompt of the process."""
    known = Announced(least=40)
    known.announce([" " * 40 + "7", "7" + "\n" * 50, "  " + "a text of forty characters and one more...", ""])

    assert len(known) == 1
    assert known.spans("We owe them 700 dollars, 7 of them today.") == []
    before = len(retrieved)
    assert documents(" " * 40 + "7") == " " * 40 + "7"
    assert len(retrieved) == before


PUMP = "The pump of the second line runs at a speed of 1,200"


@pytest.mark.parametrize(
    ("prompt", "found"),
    [
        (PUMP, True),
        (PUMP + ".", True),
        (PUMP + ", as said", True),
        (f"({PUMP})", True),
        (f"<doc>{PUMP}</doc>", True),
        (f"read:{PUMP}\n", True),
        (f"__{PUMP}__", True),
        (PUMP + "0", False),
        (PUMP + ",000 turns", False),
        (PUMP + ".5 turns", False),
        (PUMP + "rpm", False),
        ("re" + PUMP, False),
    ],
)
def test_b1_a_match_ends_at_a_boundary(prompt, found):
    """B1: never inside a word or a number, at either end."""
    known = Announced(least=40)
    known.announce([PUMP])

    assert [prompt[a:b] for a, b in known.spans(prompt)] == [PUMP] * found


@pytest.mark.parametrize(
    ("marked", "prompt", "expected"),
    [
        ("30", "at 12:30 or 30 or 3.30 or 30,5 or 130 or 30.", [12, 41]),
        ("12:30", "It is 12:30, not 12:301 or 112:30", [6]),
        ("Ann", "Ann, Anna and Joann: Ann's", [0, 21]),
    ],
)
def test_b1_short_texts_too(marked, prompt, expected):
    known = Announced()
    known.announce([marked])

    assert [a for a, _ in known.spans(prompt)] == expected
    assert all(prompt[a:b] == marked for a, b in known.spans(prompt))


def test_no_text_is_kept():
    known = Announced()
    known.announce(["a most secret document that nobody else may ever read"])

    held = {k: v for k, v in vars(known).items() if k not in {"_lock", "_clock"}}
    assert b"secret" not in pickle.dumps(held)


def test_the_words_come_back_as_they_are():
    text = "a manual that is longer than forty characters, " * 2

    assert documents(text) is text
    assert volatile("12:30") == "12:30"
    assert retrieved.spans(f"Read this: {text}")[0][0] == 11
    assert changing.spans("It is 12:30 now")


SPLITS = """
from cachepoint import CachePolicy, PromptCache
from cachepoint.core.prompt.documents import retrieved
import json, sys
retrieved.announce([sys.argv[1]])
cache = PromptCache(policy=CachePolicy(documents="shared"))
call = cache.prepare(json.loads(sys.argv[2]), model_id="us.anthropic.claude-sonnet-4-6")
print(json.dumps(call.request))
"""


def test_another_process_splits_the_same_way():
    import json

    document = "The rotor turns at nine thousand revolutions. " * 120
    request = {"messages": [{"role": "user", "content": [{"text": f"Read:\n{document}\n\nHow fast?"}]}]}
    outputs = {
        subprocess.run(
            [sys.executable, "-c", SPLITS, document, json.dumps(request)],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }

    (only,) = outputs
    content = json.loads(only)["messages"][0]["content"]
    assert [list(b) for b in content] == [["text"], ["cachePoint"], ["text"]]
    assert content[0]["text"].endswith("revolutions.")


def test_documents_with_a_common_beginning_are_told_apart():
    """Nodes of LlamaIndex begin with the path of their file."""
    texts = [
        f"file_path: manuals/pump.pdf\n\nPage {i}: {'turn it ' * (5 + i % 7)}slowly" for i in range(3_000)
    ]
    known = Announced()
    known.announce(texts)
    prompt = "Context:\n" + "\n\n".join(texts[100:110])

    assert len(known.spans(prompt)) == 10
    assert known.spans(prompt)[-1][1] == len(prompt)


class Hit:
    """A document of another framework: its text is in `text`."""

    text = "The valve of the second line opens at nine bar, no sooner."


class Broken:
    def get_content(self, metadata_mode="none"):
        raise RuntimeError


def found(*prompts):
    return [bool(retrieved.spans(prompt)) for prompt in prompts]


def test_c16_documents_takes_what_people_have():
    """C16: a list, objects with a text, anything else that str writes; the value comes back as it is."""
    texts = [f"Page {i} says that a gauge of {i} turns is loose." for i in (71, 72, 73)]
    for value in (texts[:2], (texts[2], Hit()), {Hit()}, 3, None, Broken(), []):
        assert documents(value) is value
    assert found(*texts, f"<{Hit.text}>") == [True] * 4
    with pytest.raises(TypeError, match="would be used up: give a list"):
        documents(iter(texts))


def test_c16_documents_of_both_frameworks():
    """C16: neither is imported by us."""
    langchain = pytest.importorskip("langchain_core.documents", reason="LangChain is not installed")
    schema = pytest.importorskip("llama_index.core.schema", reason="LlamaIndex is not installed")
    words = "A gasket of the {} line is changed every nine hundred hours."
    documents([langchain.Document(words.format("third"), metadata={"page": 3})])
    node = schema.TextNode(text=words.format("fourth"), metadata={"file": "a.pdf"})
    documents(schema.NodeWithScore(node=node, score=1.0))

    assert found(words.format("third"), words.format("fourth")) == [True, True]
    assert retrieved.spans(node.get_content(metadata_mode=schema.MetadataMode.LLM))[0][0] == 0


def test_c16_volatile_takes_a_clock():
    """C16: volatile(datetime.now()) raised AttributeError."""
    for value in (datetime(2026, 11, 26, 9, 41, 7, tzinfo=UTC), date(2031, 1, 2), 4711, uuid.UUID(int=7)):
        assert volatile(value) is value
        assert changing.spans(f"Now: {value}!") == [(5, 5 + len(str(value)))]


def test_a8_a_child_that_was_forked_while_the_table_was_locked_goes_on():
    """A8."""
    known = Announced()
    holder = threading.Thread(target=known._lock.acquire)
    holder.start()
    holder.join()
    assert known._lock.locked()
    forks._in_child()
    assert not known._lock.locked()


TURN = "file_path: manuals/pump.pdf\n\n"


def numbered(beginning, count):
    return [f"{beginning}Page {i}: {'turn it ' * (5 + i % 70)}slowly" for i in range(count)]


@pytest.mark.parametrize("beginning", [TURN, TURN * 20, "- " * 200, "x" * 500, "=" * 33 + "\n"])
def test_d1_documents_that_begin_alike_and_a_prompt_full_of_it(beginning, monkeypatch):
    """D1: 2,000 of them took 7.8 s, 4,000 took 24.6 s. The work grows with the prompt alone."""
    known = Announced(least=40)
    known.announce(numbered(beginning, 4_000))

    prompt = (beginning * (400_000 // len(beginning) + 1))[:400_000]
    looks = []
    look = known._match

    def counted(*place):
        length, looked = look(*place)
        looks.append(looked)
        return length, looked

    monkeypatch.setattr(known, "_match", counted)
    assert known.spans(prompt) == []
    # In characters looked at: so many times the prompt, and what the last place took.
    assert sum(looks) <= 8 * len(prompt) + max(looks, default=0)


@pytest.mark.parametrize("beginning", [TURN, TURN * 20, "", "- " * 40])
def test_d1_each_of_many_that_begin_alike_is_found(beginning):
    texts = numbered(beginning, 3_000)
    known = Announced(least=40)
    known.announce(texts)
    for chosen in (texts[:50], texts[1_500:1_550], texts[-50:]):
        prompt = "Context:\n" + "\n\n".join(chosen) + "\n\nWhy?"
        assert [prompt[a:b] for a, b in known.spans(prompt)] == chosen
    known.announce(f"{beginning}another document {i}, and that is long enough" for i in range(4_000))
    assert len(known) == 4_096
    assert known.spans(texts[0]) == []
    assert known.spans(texts[-1]) == [(0, len(texts[-1]))]


def test_d1_nobody_waits_while_a_text_is_looked_through(monkeypatch):
    """D1: all other calls of the process waited. No lock is held while a text is looked through."""
    known = Announced()
    known.announce([PUMP])
    monkeypatch.setattr(known, "_match", lambda *_: (int(known._lock.locked()), 1))

    assert known.spans(f"Read: {PUMP}") == []


def test_announcing_while_others_look():
    """Readers take no lock: what they find is whole, and what was announced long before is found."""
    known = Announced(capacity=400)
    prompt = "\n\n".join(numbered(TURN, 50))
    stop = threading.Event()
    faults = []

    def write():
        i = 0
        while not stop.is_set():
            known.announce(
                [*numbered(TURN, 50), *(f"{TURN}other {i + j} " + "y" * (j % 90) for j in range(20))]
            )
            i += 20

    def look():
        try:
            for _ in range(60):
                assert len(known.spans(prompt)) == 50
        except BaseException as fault:
            faults.append(fault)

    known.announce(numbered(TURN, 50))
    writer = threading.Thread(target=write)
    readers = [threading.Thread(target=look) for _ in range(2)]
    writer.start()
    for thread in readers:
        thread.start()
    for thread in readers:
        thread.join()
    stop.set()
    writer.join()
    assert faults == []
