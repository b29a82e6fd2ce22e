"""Answers that call tools."""

import json
from collections.abc import Sequence
from typing import Any

from cachepoint.emulator.responders.call_ids import call_id
from cachepoint.emulator.responders.react import in_its_words
from cachepoint.emulator.responders.reply import Reply
from cachepoint.emulator.responders.request import ParsedRequest, keywords
from cachepoint.emulator.responders.text import TextResponder
from cachepoint.emulator.responders.values import Hints, valid_value

__all__ = ["AutoResponder", "ToolResponder"]


class AutoResponder:
    """The default: calls a tool where it must or the user's words ask for one, else answers with text."""

    def __call__(self, request: ParsedRequest, /) -> Reply:
        """Answer one request."""
        return in_its_words(request, _automatic)


def _automatic(request: ParsedRequest) -> Reply:
    spec = _forced(request) or _asked_for(request)
    return _calls(request, [spec]) if spec else TextResponder()(request)


class ToolResponder:
    """Calls the tools it is given, with arguments that their schemas allow, then answers from the results.

    Where the answer has to be a tool call, it is one of a tool that was not called yet, and of the last one
    after as many rounds as there are tools: so agents whose answer is a tool of its own come to an end.
    Rounds are counted by the ids of the calls, as an agent may summarise the earlier ones away.
    `tools` names those to call (all that are given if None), `steps` is how many rounds precede the answer,
    `parallel` how many calls one round makes.
    """

    def __init__(self, tools: Sequence[str] | None = None, *, steps: int = 1, parallel: int = 1) -> None:
        self._tools, self._steps, self._parallel = tools, steps, parallel

    def __call__(self, request: ParsedRequest, /) -> Reply:
        """Answer one request."""
        return in_its_words(request, self._answer)

    def _answer(self, request: ParsedRequest) -> Reply:
        specs, done = self._to_call(request), request.tool_rounds
        if not specs or done >= self._steps or "tool" in request.tool_choice:
            return _automatic(request) if _forced(request) else TextResponder()(request)
        first = done * self._parallel
        return _calls(request, [specs[(first + n) % len(specs)] for n in range(self._parallel)])

    def _to_call(self, request: ParsedRequest) -> list[dict[str, Any]]:
        if self._tools is not None:
            return [spec for spec in request.tools if spec["name"] in self._tools]
        # Where a tool has to be called the last one is the answer's, and comes last.
        return request.tools[:-1] or request.tools if "any" in request.tool_choice else request.tools


def _calls(request: ParsedRequest, specs: Sequence[dict[str, Any]]) -> Reply:
    hints = Hints(request.last_user_text)
    uses = [_call(request, spec, number, hints) for number, spec in enumerate(specs)]
    return Reply(tuple(uses), stop_reason="tool_use")


def _call(request: ParsedRequest, spec: dict[str, Any], number: int, hints: Hints) -> dict[str, Any]:
    schema = spec["inputSchema"].get("json", {})
    arguments = valid_value({"type": "object", **schema}, hints)
    seed = f"{len(request.messages)}/{number}/{spec['name']}/{json.dumps(arguments, sort_keys=True)}"
    use_id = call_id(seed, request.tool_rounds)
    return {"toolUse": {"toolUseId": use_id, "name": spec["name"], "input": arguments}}


def _forced(request: ParsedRequest) -> dict[str, Any] | None:
    choice = request.tool_choice
    wanted = (choice.get("tool") or {}).get("name")
    if "any" not in choice and wanted is None:
        return None
    named = next((spec for spec in request.tools if spec["name"] == wanted), None)
    return named or _asked_for(request) or _next_tool(request)


def _next_tool(request: ParsedRequest) -> dict[str, Any] | None:
    """The first tool that this turn has not called, else the last: the answer's tool stands at the end."""
    called = request.tools_called
    fresh = request.tools if request.tool_rounds < len(request.tools) else ()
    unused = (spec for spec in fresh if spec["name"] not in called)
    return next(unused, None) or next(reversed(request.tools), None)


def _asked_for(request: ParsedRequest) -> dict[str, Any] | None:
    words = (
        keywords(request.last_user_text) if request.tools and not request.tool_results else frozenset[str]()
    )
    scored = [(len(words & _tool_words(spec)), -index) for index, spec in enumerate(request.tools)]
    score, index = max(scored, default=(0, 0))
    return request.tools[-index] if score else None


def _tool_words(spec: dict[str, Any]) -> frozenset[str]:
    return keywords(f"{spec['name']} {spec['name'].replace('_', ' ')} {spec.get('description', '')}")
