"""What to do about a miss, in one sentence, by its cause and what moved."""

from collections.abc import Mapping

_CLOCK = (
    "Move what changes by the call behind the last checkpoint, into the newest message, or round it so that "
    "it stays the same for as long as an entry lives."
)
_SORT = "Write the tools in one order and with one serialisation, as by sorting them by name."

# By cause, and by what moved; "" stands for all else.
_REMEDIES: Mapping[str, Mapping[str, str]] = {
    "model_changed": {
        "": "Keep a conversation on one model: each has entries of its own.",
        "Region or endpoint": "Keep a conversation in one Region and on one endpoint: none shares entries.",
        "API": "Keep a conversation on Converse or on InvokeModel: they share no entries.",
    },
    "tools_changed": {
        "": "Give the same tools, in the same order and wording, in every call of a conversation.",
        "reordered": _SORT,
        "the order of JSON keys": _SORT,
        "white space": _SORT,
        "added": "Give all tools from the first call on, or let one tool find and run the others.",
        "removed": "Leave the tools in place and say in the newest message which may be used.",
        "a time of day": _CLOCK,
        "a date": _CLOCK,
        "a UUID": _CLOCK,
        "a unix time": _CLOCK,
    },
    "system_changed": {
        "": _CLOCK,
        "another": "Keep one system prompt in a conversation, and say what a sub-agent is to do in its task.",
        "summary": "Ask for it at the end of the conversation itself, behind its tools and system prompt.",
        "added": "Give the system prompt from the first call on.",
        "removed": "Give the system prompt in every call.",
        "white space": "Write the system prompt from one template, without blanks that come and go.",
        "the order of JSON keys": "Serialise with sorted keys, as by json.dumps(..., sort_keys=True).",
        "the order": "Give the parts of the system prompt in one order.",
    },
    "messages_changed": {
        "": "Append to the history, and send what was said as it was sent before.",
        "reordered": "Answer parallel tool calls in the order in which they were asked.",
        "truncated": "Trim seldom and much at once, as StableTrimMiddleware and StableTrimMemory do.",
        "compacted": "Summarise seldom and much at once: each summary writes what follows it anew.",
        "history summarised": "Summarise seldom and much at once: each summary writes what follows it anew.",
        "tool results cleared": "Clear tool results in batches, as ClearToolUsesInBatches does.",
        "inserted": "Put what is added at the end of the messages.",
    },
    "settings_changed": {
        "": "Keep it the same within a conversation.",
        "tool_choice": "Leave the choice of the tool to the model, or force one in all calls.",
    },
    "first_write": {"": "Nothing: the next call that begins like this one reads it."},
    "expired": {
        "": 'Let it live longer, with ttl="auto" or "1h", or write less where people come back late.'
    },
    "below_minimum": {"": "Nothing, or put what is stable, such as examples, in front of what changes."},
    "lookback_exceeded": {
        "": "Leave the checkpoints to cachepoint, or set one at most 20 blocks behind the last entry."
    },
    "in_flight": {
        "": 'Let parallel calls wait for the first, with fan_out="warm_first", or warm the prefix before.'
    },
    "evicted_or_rerouted": {
        "": "Nothing in the request explains it; where it happens often, pin the Region or use one profile."
    },
    "not_marked": {"": 'Nothing where such calls never come back; else say so with tail="always".'},
}


def remedy(cause: str, kind: str = "") -> str:
    """What to do about a miss.

    Args:
        cause: The cause.
        kind: What moved.
    """
    known = _REMEDIES[cause]
    return known.get(kind, known[""])
