"""Every usage report in one normal form."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, Self, TypeVar

from cachepoint.core.models.rules import base_model

Shape = Literal[
    "converse", "messages", "message_stream", "headers", "langchain", "llama_index", "log_record", "report"
]
_U = TypeVar("_U", bound="Usage")


@dataclass(frozen=True, slots=True)
class Usage:
    """The tokens of one call, or the sum of many.

    Bedrock's `inputTokens` leaves out what was read and written; `input_tokens` here is all of it.
    None means that the report did not say (models without caching); it is not 0.

    Source: Converse `usage`, botocore 1.44.5; 535 of 535 recorded usages add up this way
    (bedrock-facts §11.1).
    """

    uncached_tokens: int = 0
    output_tokens: int = 0
    read_tokens: int | None = None
    write_tokens: int | None = None
    write_5m_tokens: int | None = None
    write_1h_tokens: int | None = None

    @property
    def input_tokens(self) -> int:
        """All input tokens: uncached, read and written."""
        return self.uncached_tokens + (self.read_tokens or 0) + (self.write_tokens or 0)

    @property
    def hit_share(self) -> float | None:
        """Read tokens over all input tokens; None where there were none."""
        return (self.read_tokens or 0) / self.input_tokens if self.input_tokens else None

    @classmethod
    def of(cls, shape: Shape, data: Any) -> Self | None:
        """The usage of a report in one of the shapes that `READERS` lists.

        Returns:
            None where the report carries no usage.

        Raises:
            ValueError: Where the shape is none of them; it names the choices.
        """
        if shape not in READERS:
            raise ValueError(f"shape is {shape!r}; use one of {', '.join(map(repr, READERS))}")
        read: Callable[[Any], Self | None] = getattr(cls, READERS[shape])
        return read(data)

    @classmethod
    def from_converse(cls, response: Mapping[str, Any], model_id: str | None = None) -> Self | None:
        """The usage of a Converse response, or of the `metadata` event that ends a stream.

        Args:
            response: As boto3 gives it.
            model_id: The model that was called. Only with it can the streams of OpenAI models be told,
                whose `inputTokens` counts what was read and written a second time (bifrost#6942).

        Returns:
            None where the response carries no usage.
        """
        usage = (response.get("metadata") or response).get("usage")
        if usage is None:
            return None
        read = cls._of_wire(usage)
        return _once(read) if "metadata" in response and _is_openai(model_id) else read

    @classmethod
    def _of_wire(cls, usage: Mapping[str, Any]) -> Self:
        by_ttl = {d["ttl"]: d["inputTokens"] for d in usage.get("cacheDetails") or ()}
        return cls._of_buckets(
            uncached=usage.get("inputTokens"),
            output=usage.get("outputTokens"),
            read=_first(usage, "cacheReadInputTokens", "cacheReadInputTokenCount"),
            write=_first(usage, "cacheWriteInputTokens", "cacheWriteInputTokenCount"),
            split=(by_ttl.get("5m", 0), by_ttl.get("1h", 0)) if by_ttl else None,
            total=usage.get("totalTokens"),
        )

    @classmethod
    def from_messages(cls, response: Mapping[str, Any]) -> Self | None:
        """The usage of an InvokeModel body, Anthropic's or Nova's.

        Returns:
            None where the body carries no usage.
        """
        usage = response.get("usage")
        if usage is None:
            return None
        return cls._of_wire(usage) if "inputTokens" in usage else cls._of_message(usage)

    @classmethod
    def _of_message(cls, usage: Mapping[str, Any]) -> Self:
        split = usage.get("cache_creation")
        return cls._of_buckets(
            uncached=usage.get("input_tokens"),
            output=usage.get("output_tokens"),
            read=usage.get("cache_read_input_tokens"),
            write=usage.get("cache_creation_input_tokens"),
            split=None if not split else _ephemeral(split),
        )

    @classmethod
    def from_message_stream(cls, events: Iterable[Mapping[str, Any]]) -> Self | None:
        """The usage of an InvokeModel stream: its events, as parsed JSON or as boto3's `chunk`s.

        `message_start` and `message_delta` say the same tokens twice, the last word counts; the
        `amazon-bedrock-invocationMetrics` that end the stream fill in what they leave out.

        Returns:
            None where no event carries usage.
        """
        usage: dict[str, Any] = {}
        metrics: Mapping[str, Any] | None = None
        for event in map(_parsed, events):
            said = (event.get("message") or event).get("usage") or {}
            usage |= {name: value for name, value in said.items() if value is not None}
            metrics = event.get("amazon-bedrock-invocationMetrics") or metrics
        counted = None if metrics is None else cls._of_counts(metrics, metrics)
        return _filled(cls._of_message(usage) if usage else None, counted)

    @classmethod
    def from_headers(cls, headers: Mapping[str, Any]) -> Self | None:
        """The usage in the headers of an InvokeModel response.

        Args:
            headers: The headers, or the response whose `ResponseMetadata` holds them.

        Returns:
            None where no header counts tokens.
        """
        found = headers.get("ResponseMetadata", {}).get("HTTPHeaders", headers)
        lower = {str(name).lower(): value for name, value in found.items()}
        counts = {count: lower[header] for header, count in _HEADERS.items() if header in lower}
        return cls._of_counts(counts, counts) if counts else None

    @classmethod
    def _of_counts(cls, given: Mapping[str, Any], returned: Mapping[str, Any]) -> Self:
        return cls._of_buckets(
            uncached=_int(given.get("inputTokenCount")),
            output=_int(returned.get("outputTokenCount")),
            read=_int(given.get("cacheReadInputTokenCount")),
            write=_int(given.get("cacheWriteInputTokenCount")),
        )

    @classmethod
    def from_langchain(cls, metadata: Mapping[str, Any] | None) -> Self | None:
        """The usage of LangChain's `usage_metadata`, whose `input_tokens` is all of it.

        Where Bedrock split the writes by TTL, langchain-aws sets `cache_creation` to 0 and puts them
        beside it; the writes are the sum of the three (langchain-aws 1.9.1).

        Returns:
            None where there is no metadata.
        """
        if not metadata:
            return None
        details = metadata.get("input_token_details") or {}
        five, hour = _ephemeral(details)
        read, unsplit = details.get("cache_read"), details.get("cache_creation")
        split = (five, hour) if five or hour or unsplit == 0 else None
        write = None if unsplit is None and split is None else (unsplit or 0) + five + hour
        output = metadata.get("output_tokens", 0)
        # Upstream's `input_tokens` holds the writes as reported, doubled or not; `total_tokens` is Bedrock's.
        whole = metadata.get("input_tokens", 0)
        total = metadata.get("total_tokens", whole + output)
        surplus = whole + output - total
        if surplus and surplus == write:
            whole -= surplus
        return cls._of_buckets(
            uncached=whole - (read or 0) - (write or 0),
            output=output,
            read=read,
            write=write,
            split=split if unsplit in {None, 0} else None,
            total=total,
        )

    @classmethod
    def from_llama_index(cls, additional_kwargs: Mapping[str, Any]) -> Self | None:
        """The usage in a LlamaIndex response's `additional_kwargs`, whose `prompt_tokens` are the uncached.

        llama-index-llms-bedrock-converse 0.15.5 writes 0 where Bedrock said nothing, and drops
        `cacheDetails`: how writes split by TTL stays unknown.

        Returns:
            None where they carry no usage.
        """
        if additional_kwargs.get("prompt_tokens") is None:
            return None
        return cls._of_buckets(
            uncached=additional_kwargs["prompt_tokens"],
            output=additional_kwargs.get("completion_tokens"),
            read=additional_kwargs.get("cache_read_input_tokens"),
            write=additional_kwargs.get("cache_creation_input_tokens"),
            total=additional_kwargs.get("total_tokens"),
        )

    @classmethod
    def from_log_record(cls, record: Mapping[str, Any]) -> Self | None:
        """The usage of a record of Bedrock's invocation log.

        The body tells most (the split by TTL stands only there); what it leaves out, or where it is
        kept in S3, is taken from the record's own counts.

        Returns:
            None where neither counts tokens.
        """
        given, returned = record.get("input") or {}, record.get("output") or {}
        counted = cls._of_counts(given, returned) if "inputTokenCount" in given else None
        body = returned.get("outputBodyJson") or {}
        if isinstance(body, Mapping):
            return _filled(cls.from_messages(body), counted)
        return _filled(cls.from_message_stream(body), counted)

    @classmethod
    def from_report(cls, figures: Mapping[str, Any]) -> Self | None:
        """What `as_dict` gave, or a whole `CallReport.as_dict()`.

        Returns:
            None where it holds no usage.
        """
        usage = figures.get("usage", figures)
        if not usage or "uncached_tokens" not in usage:
            return None
        return cls(**{f.name: usage[f.name] for f in fields(cls) if f.name in usage})

    @classmethod
    def _of_buckets(
        cls,
        *,
        uncached: int | None,
        output: int | None,
        read: int | None,
        write: int | None,
        split: tuple[int, int] | None = None,
        total: int | None = None,
    ) -> Self:
        uncached, output = uncached or 0, output or 0
        rest = None if total is None else total - uncached - output - (read or 0)
        write = _undoubled(write, None if split is None else sum(split), rest)
        if split is None and write == 0:
            split = (0, 0)
        one_hour = None if split is None else split[1]
        five = None if one_hour is None or write is None else write - one_hour
        return cls(uncached, output, read, write, five, one_hour)

    def __add__(self, other: "Usage") -> "Usage":
        """The sum, field by field; what one side does not know stays known from the other."""
        return Usage(
            self.uncached_tokens + other.uncached_tokens,
            self.output_tokens + other.output_tokens,
            _add(self.read_tokens, other.read_tokens),
            _add(self.write_tokens, other.write_tokens),
            _add(self.write_5m_tokens, other.write_5m_tokens),
            _add(self.write_1h_tokens, other.write_1h_tokens),
        )

    def as_dict(self) -> dict[str, int | None]:
        """The figures by name, for JSON."""
        return {
            "input_tokens": self.input_tokens,
            "uncached_tokens": self.uncached_tokens,
            "read_tokens": self.read_tokens,
            "write_tokens": self.write_tokens,
            "write_5m_tokens": self.write_5m_tokens,
            "write_1h_tokens": self.write_1h_tokens,
            "output_tokens": self.output_tokens,
        }


READERS: Mapping[Shape, str] = {
    "converse": "from_converse",
    "messages": "from_messages",
    "message_stream": "from_message_stream",
    "headers": "from_headers",
    "langchain": "from_langchain",
    "llama_index": "from_llama_index",
    "log_record": "from_log_record",
    "report": "from_report",
}

_HEADERS: Mapping[str, str] = {
    "x-amzn-bedrock-input-token-count": "inputTokenCount",
    "x-amzn-bedrock-output-token-count": "outputTokenCount",
    "x-amzn-bedrock-cache-read-input-token-count": "cacheReadInputTokenCount",
    "x-amzn-bedrock-cache-write-input-token-count": "cacheWriteInputTokenCount",
}


def _undoubled(write: int | None, *witnesses: int | None) -> int | None:
    """Half the writes, where `cacheDetails` or `totalTokens` says so.

    A ConverseStream with extended thinking may report `cacheWriteInputTokens` twice as large as it is
    (langchain-aws#983, open). Where all figures of a report were doubled alike, it cannot be seen.
    """
    return next((n for n in witnesses if n and write == 2 * n), write)


def _is_openai(model_id: str | None) -> bool:
    return model_id is not None and (base_model(model_id) or "").startswith("openai.")


def _ephemeral(details: Mapping[str, Any]) -> tuple[int, int]:
    five, hour = (details.get(f"ephemeral_{ttl}_input_tokens") or 0 for ttl in ("5m", "1h"))
    return five, hour


def _once(usage: _U) -> _U:
    """Without the tokens that `inputTokens` holds a second time."""
    cached = (usage.read_tokens or 0) + (usage.write_tokens or 0)
    if cached > usage.uncached_tokens:
        return usage
    return replace(usage, uncached_tokens=usage.uncached_tokens - cached)


def _filled(usage: _U | None, other: _U | None) -> _U | None:
    """`usage`, and from `other` what it does not know."""
    if usage is None or other is None:
        return other if usage is None else usage
    names = [f.name for f in fields(Usage) if getattr(usage, f.name) is None]
    return replace(usage, **{name: getattr(other, name) for name in names})


def _parsed(event: Mapping[str, Any]) -> Mapping[str, Any]:
    chunk = event.get("chunk")
    if chunk is None:
        return event
    parsed: Mapping[str, Any] = json.loads(chunk["bytes"])
    return parsed


def _first(usage: Mapping[str, Any], *names: str) -> int | None:
    return next((usage[name] for name in names if usage.get(name) is not None), None)


def _int(text: Any) -> int | None:
    return None if text is None else int(text)


def _add(a: int | None, b: int | None) -> int | None:
    if a is None:
        return b
    return a if b is None else a + b
