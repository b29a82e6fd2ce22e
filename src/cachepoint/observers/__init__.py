"""Where the reports go: one file per sink.

`emf`, `jsonl`, `log` and `otel` return an observer for `PromptCache(observers=[…])`; `page` draws a tally.
"""

from cachepoint.observers.emf import emf
from cachepoint.observers.html import page
from cachepoint.observers.jsonl import jsonl
from cachepoint.observers.log import log
from cachepoint.observers.otel import otel

__all__ = ["emf", "jsonl", "log", "otel", "page"]
