"""An answer in text: sentences of the prompt, or the JSON that the request asks for."""

import json
import re

from cachepoint.emulator.responders.react import in_its_words
from cachepoint.emulator.responders.reply import Reply
from cachepoint.emulator.responders.request import ParsedRequest, keywords
from cachepoint.emulator.responders.values import Hints, valid_value

__all__ = ["TextResponder"]

_SENTENCES = 2
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")


class TextResponder:
    """Answers with the sentences of the prompt that share most words with the question."""

    def __call__(self, request: ParsedRequest, /) -> Reply:
        """Answer one request."""
        return in_its_words(request, _said)


def _said(request: ParsedRequest) -> Reply:
    return Reply.text(_structured(request) or _quote(request))


def _structured(request: ParsedRequest) -> str:
    schema = request.output_schema
    return (
        json.dumps(valid_value(schema, Hints(request.last_user_text)), ensure_ascii=False) if schema else ""
    )


def _quote(request: ParsedRequest) -> str:
    results = request.tool_results
    if results:
        return f"The tools answered: {'; '.join(results)}"[:2000]
    words = keywords(request.question)
    parts = (part.strip() for part in _SENTENCE_END.split(request.background()))
    sentences = list(dict.fromkeys(filter(None, parts)))
    ranked = sorted(
        range(len(sentences)), key=lambda index: (-len(words & keywords(sentences[index])), index)
    )
    best = [index for index in ranked[:_SENTENCES] if words & keywords(sentences[index])]
    found = " ".join(sentences[index] for index in sorted(best))
    return found[:2000] or f"You asked: {request.question.strip()[:500] or 'nothing'}"
