"""Where one text is sent as two blocks, and what that is worth, against the emulator's engine."""

import logging
import threading

import pytest
from builders import SONNET, assistant, marks, text, user
from hypothesis import given, settings
from hypothesis import strategies as st
from traffic import Run

from cachepoint import volatile
from cachepoint.core.prompt.cuts import CLOCKS, MIN_PIECE, Scissors
from cachepoint.core.prompt.dialects.reading import Reading
from cachepoint.core.prompt.digests import Digester
from cachepoint.core.prompt.documents import Announced, retrieved
from cachepoint.core.prompt.prefix import RawBlock

RULES = "\n\n".join(f"Rule {i}: " + "keep the valve shut unless told otherwise. " * 5 for i in range(60))


def manual(tag):
    return f"Manual {tag}. " + "\n\n".join(
        f"{tag} section {i}: " + "turn the rotor slowly. " * 25 for i in range(60)
    )


def rag(documents, question, where):
    retrieved.announce(documents)
    context = "\n\n".join(documents)
    if where == "system":
        return {"system": [{"text": f"Answer from:\n{context}"}], "messages": [user({"text": question})]}
    return {"messages": [user({"text": f"Answer from:\n{context}\n\nQuestion: {question}"})]}


@pytest.mark.parametrize("where", ["system", "user"])
@pytest.mark.parametrize(("documents", "bound"), [("auto", 0.33), ("shared", 0.25)])
def test_one_document_many_questions(where, documents, bound):
    run = Run(documents=documents)
    document = manual(f"{where}-{documents}")
    for i in range(12):
        run.call(rag([document], f"What is said of number {i}?", where))

    assert run.ratio <= bound


@pytest.mark.parametrize("where", ["system", "user"])
def test_documents_that_are_never_shared_cost_nothing_more(where):
    run = Run()
    for i in range(12):
        run.call(rag([manual(f"{where}{i}-{j}") for j in range(3)], f"And {i}?", where))

    assert run.ratio <= 1.01


def test_a_split_is_where_the_last_document_ends():
    document = "The pump is primed by hand, as everybody knows. " * 80
    request = rag([document], "How?", "user")
    call = Run(documents="shared").cache.prepare(request, model_id=SONNET)
    content = call.request["messages"][0]["content"]

    assert content[0]["text"] + content[2]["text"] == request["messages"][0]["content"][0]["text"]
    assert content[0]["text"].endswith("as everybody knows.")
    assert marks(call.request) == ["messages[0]"]


def test_it_splits_the_same_when_it_is_history():
    document = "The pump is primed by hand, as everybody knows. " * 80
    cache = Run().cache
    first = rag([document], "How?", "user")
    now = cache.prepare(first, model_id=SONNET).request["messages"][0]["content"]
    later = {"messages": [*first["messages"], assistant({"text": "By hand."}), user({"text": "Why?"})]}
    then = cache.prepare(later, model_id=SONNET).request["messages"][0]["content"]

    assert [b for b in then if "text" in b] == [b for b in now if "text" in b]
    assert len([b for b in then if "text" in b]) == 2


def test_threads_split_the_same():
    document = "The pump is primed by hand, as everybody knows. " * 80
    request = rag([document], "How?", "user")
    cache = Run(documents="shared").cache
    seen = []
    threads = [
        threading.Thread(target=lambda: seen.append(cache.prepare(request, model_id=SONNET).request))
        for _ in range(8)
    ]
    for t in threads:
        t.start()
    for t in threads:
        t.join()

    assert all(s["messages"][0]["content"][0] == seen[0]["messages"][0]["content"][0] for s in seen)


def test_documents_off_and_split_off_split_nothing():
    document = "The pump is primed by hand, as everybody knows. " * 80
    request = rag([document], "How?", "user")

    for policy in ({"documents": "off"}, {"split": "off"}):
        content = Run(**policy).cache.prepare(request, model_id=SONNET).request["messages"][0]["content"]
        assert len([b for b in content if "text" in b]) == 1


def chats(run, system, users=40, turns=12):
    """Chats that take turns; yields the report of every call."""
    histories = [[] for _ in range(users)]
    for turn in range(turns):
        for n, history in enumerate(histories):
            history.append(user(text(60, f"{n}-{turn}")))
            yield run.call({"system": [{"text": system(turn, n)}], "messages": list(history)}, gap=0.5)
            history.append(assistant(text(30, f"{n}-{turn}")))


def test_a_clock_in_the_last_paragraph_costs_only_what_follows_it():
    run = Run()
    reports = list(chats(run, lambda turn, n: f"{RULES}\n\nNow: 2026-11-22 {turn:02d}:{n:02d}."))

    assert all(r.usage.read_tokens > 2_500 for r in reports[2:])


def test_what_no_pattern_knows_is_seen_to_change():
    run = Run()
    reports = list(
        chats(run, lambda turn, n: f"{RULES}\n\nYou talk with visitor number {turn * 40 + n}.", turns=3)
    )

    assert all(r.usage.read_tokens > 2_500 for r in reports[2:])


def test_a_clock_in_the_first_line_is_not_written_and_is_named(caplog):
    run = Run()
    reports = list(chats(run, lambda turn, n: f"Now: 2026-11-22 {turn:02d}:{n:02d}.\n\n{RULES}"))

    assert sum(r.usage.write_tokens for r in reports) == 0
    assert {(r.miss.cause, r.miss.where, r.miss.detail) for r in reports[1:]} == {
        ("system_changed", "system[0]", "a time of day")
    }
    warnings = [r.message for r in caplog.records if r.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert warnings[0].startswith("the system prompt holds a time of day: the ")


def test_a_time_that_never_changes_is_cached_from_the_second_call_on(caplog):
    run = Run()
    reports = list(chats(run, lambda *_: f"Opening hours: 9:30 to 17:00.\n\n{RULES}", users=2, turns=4))

    assert all(r.usage.read_tokens > 2_500 for r in reports[2:])
    assert "holds a time of day" not in caplog.text


def test_volatile_text_stays_behind_the_checkpoint():
    run = Run()
    system = f"{RULES}\n\nThe user is called {volatile('Ada Lovelace')}. Be kind."
    call = run.cache.prepare(
        {"system": [{"text": system}], "messages": [user({"text": "hi"})]}, model_id=SONNET
    )
    blocks = call.request["system"]

    assert [next(iter(b)) for b in blocks] == ["text", "cachePoint", "text"]
    assert blocks[0]["text"] == f"{RULES}\n\n"


def test_two_applications_are_not_one_that_changes():
    run = Run()
    for system in (f"You are helpful.\n\nA{RULES}", f"You are helpful.\n\nB{RULES}") * 2:
        report = run.call({"system": [{"text": system}], "messages": [user({"text": "hi"})]})

    assert report.usage.read_tokens > 2_500
    assert report.miss is None


def test_short_texts_are_left_whole():
    run = Run()
    request = {
        "system": [{"text": "It is 12:30.\n" + "x" * (MIN_PIECE - 20)}],
        "messages": [user({"text": "hi"})],
    }

    assert run.cache.prepare(request, model_id=SONNET).request == request


def test_a_sliding_window_is_noticed_once(caplog):
    """A history that is cut at every turn is never read again: its tail is soon not written."""
    run = Run()
    history = []
    written = []
    for turn in range(30):
        history += [user(text(150, f"q{turn}")), assistant(text(150, f"a{turn}"))]
        window = (
            [*history[-21:-1], user(text(50, f"n{turn}"))]
            if len(history) > 21
            else [user(text(9, f"{turn}"))]
        )
        window = window if window[0]["role"] == "user" else window[1:]
        report = run.call({"system": [text(2_000)], "messages": window})
        written.append(report.usage.write_tokens)

    assert not any(written[-10:])
    assert caplog.text.count("no longer extend what was sent before") == 1


def test_a_time_that_is_fixed_for_a_conversation_is_learned():
    """The clock was read when the conversation began: from the second conversation on nothing is lost."""
    run = Run()
    for talk in range(6):
        history = []
        for turn in range(4):
            history.append(user(text(40, f"{talk}-{turn}")))
            system = f"Now: 2026-11-22 10:{talk:02d}.\n\n{RULES}"
            report = run.call({"system": [{"text": system}], "messages": list(history)})
            history.append(assistant(text(20, f"{talk}-{turn}")))
            if talk and turn:
                assert report.usage.read_tokens > 2_500


def test_documents_that_do_come_back_are_soon_written_at_once():
    run = Run()
    writes = [
        run.call(rag([manual(f"learned{n}")], f"{n}-{i}?", "user")).usage.write_tokens
        for n in range(6)
        for i in range(3)
    ]

    assert writes[0] == 0
    assert writes[-3] > 0


PARTS = st.lists(
    st.text("abc dé汉.\n", min_size=45, max_size=400).map(str.strip).filter(lambda t: len(t) > 44)
)


@settings(max_examples=150, deadline=None)
@given(PARTS.filter(bool), st.sampled_from(["\n\n", "\n---\n", " | "]), st.text(max_size=80), st.booleans())
def test_a_split_depends_on_the_content_alone(texts, separator, question, in_history):
    """Two processes with keys of their own, one with more documents, in another order, and the text in history."""
    prompt = "Read this. " * 100 + separator.join(texts) + "\n\n" + question
    ask = [RawBlock("messages", (0, 0), "text", prompt, "user", opens=True)]
    later = [RawBlock("messages", (1, 0), "text", "It says so.", "assistant", opens=True)]
    one, two = Announced(), Announced()
    one.announce(texts)
    two.announce([*reversed(texts), "a document that nobody asked for, but which was retrieved as well"])

    def cut(raw, key, announced, scope):
        reading = Reading(raw, "", "", 0)
        return Scissors(reading, Digester(key), scope, "learned", "auto", announced, Announced()).split(
            {}, {}
        )

    first = cut(ask, b"one", one, b"here")
    second = cut(ask + later * in_history, b"two", two, b"there")

    assert first.cuts == second.cuts
    assert "".join(b.payload for b in first.raw) == prompt


@pytest.mark.parametrize(
    ("block", "marked_behind"),
    [
        pytest.param(
            {"document": {"format": "pdf", "name": "d", "source": {"bytes": "JVBERg==" * 4_000}}}, 1, id="pdf"
        ),
        pytest.param(
            {"document": {"format": "txt", "name": "d", "source": {"bytes": "YWJj" * 4_000}}}, None, id="txt"
        ),
    ],
)
def test_document_blocks_are_documents_as_they_are(block, marked_behind):
    """Behind a PDF a checkpoint may stand, behind any other document it may not."""
    run = Run(documents="shared", tail="never")
    request = {"messages": [user(text(1_500), block, {"text": "What does it say?"})]}
    content = run.cache.prepare(request, model_id=SONNET).request["messages"][0]["content"]

    assert [i - 1 for i, b in enumerate(content) if "cachePoint" in b] == (
        [] if marked_behind is None else [marked_behind]
    )


@pytest.mark.parametrize(
    ("line", "looks"),
    [
        ("It is 9:30.", ["a time of day"]),
        ("It is 2026-11-26T09:30:12Z.", ["a time of day"]),
        ("(23:59)", ["a time of day"]),
        ("Verse 119:105", []),
        ("The pin a9:30 and the port v12:30", []),
        ("At 9:3", []),
        ("id 123e4567-e89b-12d3-a456-426614174000", ["a UUID"]),
        ("id x123e4567-e89b-12d3-a456-426614174000", []),
        ("id 123e4567-e89b-12d3-a456-4266141740001", []),
        ("since 1712345678", ["a unix time"]),
        ("since 21712345678", []),
    ],
)
def test_what_looks_like_a_clock(line, looks):
    assert [what for what, pattern in CLOCKS if pattern.search(f"first\n{line}\nlast")] == looks
