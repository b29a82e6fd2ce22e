"""Where the reports go: one file per sink.

`alarm`, `emf`, `jsonl`, `log` and `otel` return an observer for `PromptCache(observers=[…])`; `page` draws a
tally.
"""

from cachepoint.core.guard import CacheAlarm
from cachepoint.observers.alarm import alarm
from cachepoint.observers.emf import emf
from cachepoint.observers.html import page
from cachepoint.observers.jsonl import jsonl
from cachepoint.observers.log import log
from cachepoint.observers.otel import otel
from cachepoint.reporting.alarms import Episode

__all__ = ["CacheAlarm", "Episode", "alarm", "emf", "jsonl", "log", "otel", "page"]
