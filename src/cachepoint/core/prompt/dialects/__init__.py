"""The wire forms, as plain dicts: each reads a request into raw blocks and writes a plan into a copy."""

from types import ModuleType

from cachepoint.core.prompt.dialects import converse, messages, nova

DIALECTS: dict[str, ModuleType] = {"converse": converse, "messages": messages, "nova": nova}
