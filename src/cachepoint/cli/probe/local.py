"""The local Bedrock's cache as a client with a clock of its own: nothing is sent, and no time passes."""

from typing import Any

from cachepoint.emulator import CacheEngine, ModelRules, Options, Scope, default_sizer, read_prompt, resolve
from cachepoint.emulator.service.usage import wire_usage


class Local:
    """Answers `converse` by the cache's rules alone: it refuses nothing and says nothing.

    Args:
        model: The id.
        options: How the cache behaves.
        seed: Of what they leave to chance.

    Raises:
        ValueError: Where the local Bedrock does not know the model.
    """

    def __init__(self, model: str, options: Options | None = None, seed: int = 0) -> None:
        rules = resolve(model)
        if rules is None:
            raise ValueError(f"the local Bedrock does not know {model!r}")
        self.rules: ModelRules = rules
        self.calls = 0
        self._options = options or Options()
        self._scope = Scope(model, "us-east-1")
        self._now = 1e9
        self._engine = CacheEngine(self.now, seed=seed)

    def now(self) -> float:
        """Its clock, in seconds."""
        return self._now

    def sleep(self, seconds: float) -> None:
        """Move it."""
        self._now += seconds

    def converse(self, **kwargs: Any) -> dict[str, Any]:
        """Answer a request with its usage."""
        request = {name: value for name, value in kwargs.items() if name != "modelId"}
        self.calls += 1
        prompt = read_prompt(request, self.rules)
        sizes = default_sizer(prompt, self.rules)
        outcome = self._engine.begin(prompt, self.rules, self._scope, sizes, options=self._options)
        self._engine.publish(outcome)
        return {"usage": wire_usage(outcome, 1, self.rules)}
