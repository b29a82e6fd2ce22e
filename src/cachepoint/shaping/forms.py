"""One vocabulary: what can be shaped, and under which names in each framework."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Form:
    """What is shaped, and where the way to shape it is found.

    A field holds names, or one sentence in brackets that says why there is none.

    Attributes:
        what: What is shaped.
        pure: The function that decides, in `cachepoint.shaping`: module and name.
        langchain_agents: Middleware for `create_agent`, in `cachepoint.langchain`.
        langchain_chains: For chains and plain calls, in `cachepoint.langchain`.
        llama_index: Memories, postprocessors and functions, in `cachepoint.llama_index`.
        llama_index_agents: Shapers of `ShapedFunctionAgent` and its like, in `cachepoint.llama_index`.
    """

    what: str
    pure: str
    langchain_agents: str
    langchain_chains: str
    llama_index: str
    llama_index_agents: str


FORMS = (
    Form(
        what="changing text",
        pure="changing.parted",
        langchain_agents="RelocateMiddleware",
        langchain_chains="relocate_changing",
        llama_index="RelocateMemory",
        llama_index_agents="Relocate",
    ),
    Form(
        what="tools",
        pure="tools.ToolOrder",
        langchain_agents="StableToolsMiddleware",
        langchain_chains="StableTools",
        llama_index="StableTools",
        llama_index_agents="StableTools",
    ),
    Form(
        what="documents",
        pure="documents.DocumentOrder",
        langchain_agents="(an agent retrieves through a tool: give it a retriever with the form for chains)",
        langchain_chains="StableDocumentOrder",
        llama_index="StableDocumentOrder",
        llama_index_agents="(an agent retrieves through a tool: give its query engine the postprocessor)",
    ),
    Form(
        what="history",
        pure="history.start_of",
        langchain_agents="StableTrimMiddleware",
        langchain_chains="trim_messages_stable",
        llama_index="StableTrimMemory",
        llama_index_agents="(the memory: StableTrimMemory)",
    ),
    Form(
        what="tool results, cleared",
        pure="tool_results.to_clear",
        langchain_agents="StableClearMiddleware",
        langchain_chains="clear_tool_results_stable",
        llama_index="(a run's results are in no memory before it ends)",
        llama_index_agents="StableClear",
    ),
    Form(
        what="tool results, in the order of their calls",
        pure="tool_results.in_call_order",
        langchain_agents="StableResultsMiddleware",
        langchain_chains="order_tool_results",
        llama_index="(a run's results are in no memory before it ends)",
        llama_index_agents="StableResults",
    ),
    Form(
        what="summaries",
        pure="summaries.due",
        langchain_agents="StableSummaryMiddleware",
        langchain_chains="(a chain keeps no history that a summary could take the place of)",
        llama_index="StableSummaryMemory",
        llama_index_agents="(the memory: StableSummaryMemory)",
    ),
)
"""The table of names; `docs/shaping.md` shows it."""
