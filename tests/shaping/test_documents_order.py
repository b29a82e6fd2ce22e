import pickle
import random
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachepoint.shaping.documents import DocumentOrder, rank_note

KEYS = st.lists(st.lists(st.sampled_from("abcdefghij"), max_size=8), max_size=25)


class Clock:
    now = 1_000.0

    def __call__(self):
        return self.now


def shown(order, *keys):
    return "".join(keys[i] for i in order.order(keys))


@given(KEYS, st.integers(1, 4))
def test_it_is_a_permutation_and_the_rest_stays_in_order(questions, depth):
    order = DocumentOrder(Clock(), depth=depth)
    for keys in questions:
        found = order.order(keys)
        assert sorted(found) == list(range(len(keys)))
        assert list(found[depth:]) == sorted(found[depth:])


def test_at_first_the_retriever_decides():
    assert shown(DocumentOrder(Clock()), *"cab") == "cab"


def test_what_comes_back_comes_first_and_what_is_new_last():
    order = DocumentOrder(Clock())
    shown(order, *"xa")
    shown(order, *"ya")
    assert shown(order, *"za") == "az"
    assert shown(order, *"qwa") == "aqw"


def in_the_cache(clock):
    """ "ab" is shown again and again, and "c" is more popular than "b"."""
    order = DocumentOrder(clock)
    for keys in ["ab"] * 3 + ["c"] * 5 + ["a"] * 5:
        shown(order, *keys)
    return order


def test_it_follows_a_beginning_that_is_in_the_cache():
    assert shown(in_the_cache(Clock()), *"bca") == "abc"


def test_a_beginning_that_died_is_forgotten_but_not_what_is_popular():
    clock = Clock()
    order = in_the_cache(clock)
    clock.now += 301
    assert shown(order, *"bca") == "acb"


def test_popularity_fades():
    clock = Clock()
    order = DocumentOrder(clock)
    for _ in range(3):
        shown(order, *"ca")
    clock.now += 86_400
    assert shown(order, *"ba") == "ba"


def test_no_more_come_to_the_front_than_a_checkpoint_can_reach():
    order = DocumentOrder(Clock(), depth=1)
    for _ in range(3):
        shown(order, *"abc")
    assert shown(order, *"xcba") in {"axcb", "cxba", "bxca"}


def test_the_same_document_twice_stays_twice():
    assert sorted(DocumentOrder(Clock()).order(["a", "a", "b"])) == [0, 1, 2]


def test_it_keeps_no_text_and_not_more_than_it_may():
    order = DocumentOrder(Clock(), capacity=20)
    for i in range(200):
        order.order([f"secret {i}", f"secret {i + 1}"])
    assert len(order._counts) == len(order._nodes) == 20
    assert b"secret" not in pickle.dumps((order._counts, order._nodes))


def test_a_clock_that_goes_back_does_no_harm():
    clock = Clock()
    order = DocumentOrder(clock)
    shown(order, *"ab")
    clock.now = -1e12
    assert sorted(shown(order, *"ab")) == ["a", "b"]


def test_threads_may_share_one():
    order = DocumentOrder()
    wrong = []

    def ask(seed):
        rng = random.Random(seed)
        for _ in range(200):
            keys = [str(rng.randrange(30)) for _ in range(6)]
            if sorted(order.order(keys)) != list(range(6)):
                wrong.append(keys)

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong
    assert sum(c.weight for c in order._counts.values()) > 4_000


@pytest.mark.parametrize("options", [{"depth": 0}, {"depth": 5}, {"ttl": 0}, {"capacity": 0}])
def test_what_is_out_of_bounds_is_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        DocumentOrder(Clock(), **options)


def test_the_ranks_in_words():
    assert rank_note((2, 0, 1)) == "[relevance ranks of the documents above, in order: 3, 1, 2]"


def test_stable_order_beats_every_layout_of_the_benchmark_by_a_quarter():
    from dataclasses import replace

    from benchmarks.rag import LOADS, broken, measure

    rows = measure(replace(LOADS["chunks of 1,024, system 200"], questions=300))
    assert broken(rows) == []
    assert rows["by hand, stable order"] < rows["by hand, retrieval order"]
