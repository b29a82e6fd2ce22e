"""Type-checked, not run: what is old, which type checkers say where they are asked to."""

# mypy: enable-error-code="deprecated"

from cachepoint import PromptCache
from cachepoint.memory import LocalMemory

PromptCache(store=LocalMemory())  # type: ignore[deprecated]
PromptCache(memory=LocalMemory())
