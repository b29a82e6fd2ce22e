"""Retrieved texts are found again inside prompts; nothing of them is kept."""

import pickle
import subprocess
import sys

from hypothesis import given, settings
from hypothesis import strategies as st

from cachepoint import documents, volatile
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


def test_it_is_bounded_in_count_and_age():
    now = [0.0]
    known = Announced(capacity=3, max_age=10.0, clock=lambda: now[0])
    known.announce([f"{i} is the number of this document, which is long enough" for i in range(9)])
    assert len(known) == 3
    now[0] = 11.0
    known.announce(["the only one that is left after all the others grew old"])
    assert len(known) == 1
    assert known.spans("8 is the number of this document, which is long enough") == []


def test_no_text_is_kept():
    known = Announced()
    known.announce(["a most secret document that nobody else may ever read"])

    kept = {k: v for k, v in vars(known).items() if k not in {"_lock", "_clock"}}
    assert b"secret" not in pickle.dumps(kept)


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


def test_what_was_dropped_is_forgotten_whole():
    known = Announced(capacity=2)
    known.announce([f"file_path: manuals/pump.pdf page {i}, which is long enough" for i in range(50)])
    known.announce(["short", "brief"])

    assert len(known) == 2
    assert len(known._buckets) == 2
    assert list(known._starts) == [5]
