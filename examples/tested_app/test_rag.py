"""The RAG app reads its handbook from the cache, whatever it is asked. Run `pytest` in this folder."""

import pytest

import rag

QUESTIONS = ("How is the valve closed?", "How is a hose cut?", "When is the filter replaced?")


def test_the_handbook_is_read_from_the_second_question_on(cache_calls):
    app = rag.build()
    for question in QUESTIONS:
        app.invoke(question)
    cache_calls.assert_cached(min_hit=0.9)
    cache_calls.assert_prefix_stable()


def test_the_layout_is_the_one_that_was_reviewed(cache_calls, snapshot):
    rag.build().invoke(QUESTIONS[0])
    assert cache_calls.layout() == snapshot


def test_after_an_hour_nothing_is_left(bedrock, cache_calls):
    app = rag.build()
    app.invoke(QUESTIONS[0])
    bedrock.advance(3_601)
    app.invoke(QUESTIONS[1])
    assert cache_calls[1].miss.cause == "expired"


@pytest.mark.moves_prefix
def test_a_new_handbook_is_written_anew(cache_calls, monkeypatch):
    app = rag.build()
    app.invoke(QUESTIONS[0])
    monkeypatch.setattr(rag, "HANDBOOK", rag.HANDBOOK + "\nPump 141 takes 423 litres.")
    app.invoke(QUESTIONS[1])
    assert cache_calls[1].usage.write_tokens > 0
