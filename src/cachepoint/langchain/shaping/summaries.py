"""Summaries of an agent's history, made inside its own prefix."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from langchain_core.exceptions import ContextOverflowError
from langchain_core.language_models import BaseChatModel, FakeListChatModel
from langchain_core.messages import AIMessage, HumanMessage, RemoveMessage
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.runnables import RunnableBinding

from cachepoint.core.guard import guard
from cachepoint.core.policy import CachePolicy
from cachepoint.langchain.cached import Cached
from cachepoint.langchain.shaping.agents import KEEPING, Past, Shaped, ShapingMiddleware, kept
from cachepoint.shaping.summaries import INSTRUCTION, check_summary, earlier, too_long, usable
from cachepoint.shaping.when import Cut, When, check_when

try:
    from langchain.agents.middleware import SummarizationMiddleware
    from langgraph.constants import TAG_NOSTREAM
except ModuleNotFoundError:  # the base says what is missing
    SummarizationMiddleware = None  # type: ignore[assignment,misc]

if TYPE_CHECKING:
    from langchain.agents.middleware.types import ModelCallResult, ModelRequest, ModelResponse

    Request = ModelRequest[Any]
    Response = ModelResponse[Any]

_DOING = "summarising a history"
POLICY = "cache_policy"


class StableSummaryMiddleware(ShapingMiddleware):
    """Summarises the history of `create_agent` with the agent's own call, so that the history is read.

    When, and what is kept, is what `SummarizationMiddleware` of langchain decides. The history is not handed
    to a model as a text: the call is that of the agent, system prompt, tools, settings and messages
    unchanged, with an instruction behind them. Where the answer is a call of a tool or no text, or the
    context has no room for it, the summary is made the stock way. The new history goes to the agent's state.

    Put it in front of those that change the request for the model. An agent with a `response_format`, and a
    call that has to call a tool, get their summaries the stock way.

    Args:
        trigger: From how much on, as of `SummarizationMiddleware`: `("tokens", 50_000)`.
        keep: What stays as it is, as of `SummarizationMiddleware`.
        instruction: What the model is asked behind the conversation.
        model: What makes summaries the stock way; None: the agent's model.
        when: `"always"`: beyond the trigger. `"cold"`: besides, from nine tenths of it on, at the first
            call after a pause that is longer than `ttl`: all is written anew then anyway. When the last call
            was is kept in the agent's state, so it takes a checkpointer; without one it is as `"always"`.
        ttl: Seconds that an entry of the cache lives; None: what the reports of the last answers say, and
            3600 where there is none.
        clock: Seconds; None: the system's.
        token_counter: Counts the tokens of messages, as of `SummarizationMiddleware`.
        summary_prompt: As of `SummarizationMiddleware`, for the stock way.
        trim_tokens_to_summarize: As of `SummarizationMiddleware`, for the stock way.

    Raises:
        ValueError: Where an option is not valid.
        ImportError: Where langchain is not installed.

    Example:
        ```python
        agent = create_agent(
            model, tools, middleware=[StableSummaryMiddleware(trigger=("tokens", 50_000))], checkpointer=saver
        )
        ```
    """

    def __init__(
        self,
        trigger: Any,
        *,
        keep: Any = ("messages", 20),
        instruction: str = INSTRUCTION,
        model: BaseChatModel | None = None,
        when: When = "always",
        ttl: float | None = None,
        clock: Callable[[], float] | None = None,
        token_counter: Callable[..., int] = count_tokens_approximately,
        summary_prompt: str | None = None,
        trim_tokens_to_summarize: int | None = 4_000,
    ) -> None:
        super().__init__()
        check_when(when, ttl)
        check_summary(instruction)
        self._instruction = instruction
        self._model = model
        prompt = {} if summary_prompt is None else {"summary_prompt": summary_prompt}
        trim = {"trim_tokens_to_summarize": trim_tokens_to_summarize}
        self._options: dict[str, Any] = {"keep": keep, "token_counter": token_counter, **prompt, **trim}
        self._trigger = trigger
        self._past = Past("cachepoint_summarised", when, ttl, clock)
        self.state_schema = self._past.schema
        # Upstream checks the options.
        self._stock(model or FakeListChatModel(responses=[], profile={"max_input_tokens": 1}), trigger)

    def wrap_model_call(
        self, request: "Request", handler: "Callable[[Request], Response]"
    ) -> "ModelCallResult[Any]":
        """Call the model, with a summary in the place of what was said where that is due."""
        plan = guard(_DOING, lambda: self._plan(request), Plan())
        made = None if plan.trigger is None else self._summarised(request, plan, handler)
        shaped = guard(_DOING, lambda: _shaped(request, made, plan), Shaped(request))
        response = handler(shaped.request)
        return guard(KEEPING, lambda: kept(response, shaped.update), response)

    async def awrap_model_call(
        self, request: "Request", handler: "Callable[[Request], Awaitable[Response]]"
    ) -> "ModelCallResult[Any]":
        """As `wrap_model_call`."""
        plan = guard(_DOING, lambda: self._plan(request), Plan())
        made = None if plan.trigger is None else await self._asummarised(request, plan, handler)
        shaped = guard(_DOING, lambda: _shaped(request, made, plan), Shaped(request))
        response = await handler(shaped.request)
        return guard(KEEPING, lambda: kept(response, shaped.update), response)

    def _summarised(self, request: "Request", plan: "Plan", handler: Any) -> Any:
        """What upstream makes of the state; None where it makes nothing of it after all."""
        text = None if plan.asks is None else self._asked(plan, handler)
        made = guard(_DOING, lambda: self._written(request, plan.trigger, text), None) if text else None
        if text is None:
            stock = guard(_DOING, lambda: self._way(request, plan), None)
            made = stock and stock.before_model(plan.state, plan.runtime)
        return made

    async def _asummarised(self, request: "Request", plan: "Plan", handler: Any) -> Any:
        """As `_summarised`."""
        text = None if plan.asks is None else await self._aasked(plan, handler)
        made = guard(_DOING, lambda: self._written(request, plan.trigger, text), None) if text else None
        if text is None:
            stock = guard(_DOING, lambda: self._way(request, plan), None)
            made = stock and await stock.abefore_model(plan.state, plan.runtime)
        return made

    def _asked(self, plan: "Plan", handler: Any) -> str | None:
        """The summary that the model makes; None where it makes none, or has no room."""
        try:
            answer = handler(plan.asks)
        except Exception as error:
            if not guard(_DOING, partial(_is_too_long, error), False):
                raise
            return None
        return guard(_DOING, lambda: _text(answer), None)

    async def _aasked(self, plan: "Plan", handler: Any) -> str | None:
        """As `_asked`."""
        try:
            answer = await handler(plan.asks)
        except Exception as error:
            if not guard(_DOING, partial(_is_too_long, error), False):
                raise
            return None
        return guard(_DOING, lambda: _text(answer), None)

    def _plan(self, request: "Request") -> "Plan":
        past = self._past.of(request)
        trigger, update = self._trigger, None
        if past is not None:
            cut = Cut.of(past.data, len(request.messages))
            trigger = earlier(trigger) if cut.cold(past.now, past.ttl) else trigger
            update = self._past.update(cut.then(past.now, turn=past.turn))
        if not self._is_due(request, trigger):
            return Plan(update=update)
        asks = None if _answers_otherwise(request) else self._asking(request)
        return Plan(asks, trigger, update, _state(request), request.runtime)

    def _asking(self, request: "Request") -> "Request":
        """The agent's own call with the instruction behind it; its tokens are no answer to be streamed."""
        return request.override(
            messages=[*request.messages, HumanMessage(self._instruction)],
            model=_unseen(request.model),
            model_settings=_unwritten(request),
        )

    def _way(self, request: "Request", plan: "Plan") -> Any:
        """The stock way."""
        return self._stock(_called(request, self._model), plan.trigger)

    def _is_due(self, request: "Request", trigger: Any) -> bool:
        """Whether upstream would make a summary."""
        return self._written(request, trigger, "") is not None

    def _written(self, request: "Request", trigger: Any, text: str) -> Any:
        """What upstream makes of the state with a summary that is there."""
        stock = self._stock(_called(request, self._model), trigger, summarizer=lambda _: text)
        return stock.before_model(_state(request), request.runtime)

    def _stock(self, model: BaseChatModel, trigger: Any, **options: Any) -> Any:
        return SummarizationMiddleware(model, trigger=trigger, **self._options, **options)


class Plan(NamedTuple):
    """What is to be done at a call.

    Attributes:
        asks: The request for a summary; None: it is made the stock way.
        trigger: What made one due; None: none is.
        update: What goes to the agent's state.
        state: The agent's state as upstream takes it.
        runtime: The agent's.
    """

    asks: Any = None
    trigger: Any = None
    update: Mapping[str, Any] | None = None
    state: Any = None
    runtime: Any = None


def _called(request: "Request", given: BaseChatModel | None) -> Any:
    """The model that makes summaries the stock way."""
    model: Any = request.model if given is None else given
    return model.bound if isinstance(model, RunnableBinding) else model


def _unseen(model: Any) -> Any:
    """A copy of a model whose tokens nobody is shown."""
    if isinstance(model, RunnableBinding):
        return model.model_copy(update={"bound": _unseen(model.bound)})
    return model.model_copy(update={"tags": [*(model.tags or []), TAG_NOSTREAM]})


def _unwritten(request: "Request") -> dict[str, Any]:
    """The settings of a call whose end nobody will read, and that reads what is there."""
    model: Any = request.model
    bound = isinstance(model, RunnableBinding)
    if not isinstance(model.bound if bound else model, Cached):
        return request.model_settings
    given = [*([model.kwargs.get(POLICY)] if bound else []), request.model_settings.get(POLICY)]
    policy = CachePolicy.layered(*map(CachePolicy.of, given)).but(tail="never")
    return {**request.model_settings, POLICY: policy}


def _state(request: "Request") -> Any:
    return {"messages": list(request.messages)}


def _answers_otherwise(request: "Request") -> bool:
    """Whether the agent's own call would be answered with a structure, or with the call of a tool."""
    return request.response_format is not None or request.tool_choice not in {None, "auto"}


def _shaped(request: "Request", made: Any, plan: Plan) -> Shaped:
    """The request with the new history, and what makes the agent's messages that.

    The summary takes the place of the first message that it is of, so that it does not matter in which order
    this and what other middleware give back go to the state.
    """
    messages = (made or {}).get("messages")
    if not messages:
        return Shaped(request, plan.update)
    new = [m for m in messages if not isinstance(m, RemoveMessage)]
    there, left = {m.id for m in request.messages}, {m.id for m in new}
    # What another middleware put into the request alone is in no state.
    held = {m.id for m in request.state["messages"]}
    gone = [str(m.id) for m in request.messages if m.id in held - left]
    first, *others = [m for m in new if m.id not in there]
    first = first.model_copy(update={"id": gone[0]}) if gone else first
    history = [first, *others, *[m for m in new if m.id in there]]
    changes = [first, *map(_removed, gone[1:])]
    return Shaped(request.override(messages=history), {**(plan.update or {}), "messages": changes})


def _removed(ident: str) -> RemoveMessage:
    return RemoveMessage(id=ident)


def _text(answer: Any) -> str | None:
    """The summary that an answer is; None where it is none."""
    messages = [m for m in getattr(answer, "result", [answer]) if isinstance(m, AIMessage)]
    if not messages or not usable(messages[-1].text, calls=bool(messages[-1].tool_calls)):
        return None
    return messages[-1].text.strip()


def _is_too_long(error: Exception) -> bool:
    """Whether a model says that there is no room for the prompt."""
    return isinstance(error, ContextOverflowError) or too_long(str(error))
