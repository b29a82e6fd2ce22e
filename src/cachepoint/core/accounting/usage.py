"""Every usage report in one normal form."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, Self, TypeVar

from cachepoint.core.accounting import counts
from cachepoint.core.accounting.counts import Split, count, first, part
from cachepoint.core.models.rules import base_model

Shape = Literal[
    "converse", "messages", "message_stream", "headers", "langchain", "llama_index", "log_record", "report"
]
_U = TypeVar("_U", bound="Usage")


@dataclass(frozen=True, slots=True)
class Usage:
    """The tokens of one call, or the sum of many.

    Bedrock's `inputTokens` leaves out what was read and written; `input_tokens` here is all of it.
    None means that the report did not say; it is not 0. A report that counts nothing at all is no usage.

    Source: Converse `usage`, botocore 1.44.5. All 535 usages that langchain-aws, pydantic-ai, req_llm, rig,
    ruby_llm, dd-trace and openllmetry published of real Converse calls by 2026-11 add up this way.
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
        """Read tokens over all input tokens; None where there were none, or no report said what was read."""
        if self.read_tokens is None or not self.input_tokens:
            return None
        return self.read_tokens / self.input_tokens

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
        streamed = part(response, "metadata")
        usage = part(streamed or response, "usage")
        if not counts.known(usage):
            return None
        read = cls._of_wire(usage)
        return _once(read) if streamed and _is_openai(model_id) else read

    @classmethod
    def _of_wire(cls, usage: Mapping[str, Any]) -> Self:
        return cls._of_buckets(
            uncached=count(usage.get("inputTokens")),
            output=count(usage.get("outputTokens")),
            read=first(usage, "cacheReadInputTokens", "cacheReadInputTokenCount"),
            write=first(usage, "cacheWriteInputTokens", "cacheWriteInputTokenCount"),
            split=counts.by_ttl(usage.get("cacheDetails")),
            total=count(usage.get("totalTokens")),
        )

    @classmethod
    def from_messages(cls, response: Mapping[str, Any]) -> Self | None:
        """The usage of an InvokeModel body, Anthropic's or Nova's.

        Args:
            response: The body. What its `usage` leaves out is taken from `amazon-bedrock-invocationMetrics`
                beside it, and from the headers in `ResponseMetadata`.

        Returns:
            None where nothing of it carries usage.
        """
        usage, metrics = part(response, "usage"), part(response, counts.METRICS)
        told = cls._of_wire(usage) if "inputTokens" in usage else cls._of_message(usage)
        counted = cls._of_counts(metrics, metrics) if counts.known(metrics) else None
        return _filled(
            _filled(told if counts.known(usage) else None, counted),
            cls.from_headers(part(response, "ResponseMetadata", "HTTPHeaders")),
        )

    @classmethod
    def _of_message(cls, usage: Mapping[str, Any]) -> Self:
        split = part(usage, "cache_creation")
        return cls._of_buckets(
            uncached=count(usage.get("input_tokens")),
            output=count(usage.get("output_tokens")),
            read=count(usage.get("cache_read_input_tokens")),
            write=count(usage.get("cache_creation_input_tokens")),
            split=counts.ephemeral(split) if split else None,
        )

    @classmethod
    def from_message_stream(cls, events: Iterable[Mapping[str, Any]]) -> Self | None:
        """The usage of an InvokeModel stream: its events, as parsed JSON or as boto3's `chunk`s.

        The `amazon-bedrock-invocationMetrics` that end the stream fill in what the others leave out.

        Returns:
            None where no event carries usage.
        """
        return cls.from_messages(counts.merged(map(counts.event, events)))

    @classmethod
    def from_headers(cls, headers: Mapping[str, Any]) -> Self | None:
        """The usage in the headers of an InvokeModel response.

        Args:
            headers: The headers, or the response whose `ResponseMetadata` holds them.

        Returns:
            None where no header counts tokens.
        """
        found = counts.of_headers(headers)
        return cls._of_counts(found, found) if counts.known(found) else None

    @classmethod
    def _of_counts(cls, given: Mapping[str, Any], returned: Mapping[str, Any]) -> Self:
        return cls._of_buckets(
            uncached=count(given.get("inputTokenCount")),
            output=count(returned.get("outputTokenCount")),
            read=count(given.get("cacheReadInputTokenCount")),
            write=count(given.get("cacheWriteInputTokenCount")),
        )

    @classmethod
    def from_langchain(cls, metadata: Mapping[str, Any] | None) -> Self | None:
        """The usage of LangChain's `usage_metadata`, whose `input_tokens` is all of it.

        Where Bedrock split the writes by TTL, langchain-aws sets `cache_creation` to 0 and puts them
        beside it; the writes are the sum of the three (langchain-aws 1.9.1).

        Returns:
            None where there is no metadata.
        """
        known = part(metadata)
        if not counts.known(known):
            return None
        details = part(known, "input_token_details")
        five, hour = counts.ephemeral(details)
        read, unsplit = count(details.get("cache_read")), count(details.get("cache_creation"))
        split = (five, hour) if five or hour or unsplit == 0 else None
        write = None if unsplit is None and split is None else (unsplit or 0) + five + hour
        output = count(known.get("output_tokens")) or 0
        # Upstream's `input_tokens` holds the writes as reported, doubled or not; `total_tokens` is Bedrock's.
        whole = count(known.get("input_tokens")) or 0
        total = count(known.get("total_tokens"))
        surplus = whole + output - total if total is not None else 0
        if surplus and surplus == write:
            whole -= surplus
        return cls._of_buckets(
            uncached=max(0, whole - (read or 0) - (write or 0)),
            output=output,
            read=read,
            write=write,
            split=split if unsplit in {None, 0} else None,
            total=whole + output if total is None else total,
        )

    @classmethod
    def from_llama_index(cls, additional_kwargs: Mapping[str, Any]) -> Self | None:
        """The usage in a LlamaIndex response's `additional_kwargs`, whose `prompt_tokens` are the uncached.

        llama-index-llms-bedrock-converse 0.15.5 writes 0 where Bedrock said nothing, and drops
        `cacheDetails`: how writes split by TTL stays unknown.

        Returns:
            None where they carry no usage.
        """
        uncached = first(part(additional_kwargs), "prompt_tokens")
        if uncached is None:
            return None
        return cls._of_buckets(
            uncached=uncached,
            output=count(additional_kwargs.get("completion_tokens")),
            read=count(additional_kwargs.get("cache_read_input_tokens")),
            write=count(additional_kwargs.get("cache_creation_input_tokens")),
            total=count(additional_kwargs.get("total_tokens")),
        )

    @classmethod
    def from_log_record(cls, record: Mapping[str, Any]) -> Self | None:
        """The usage of a record of Bedrock's invocation log.

        The body tells most (the split by TTL stands only there); what it leaves out, or where it is
        kept in S3, is taken from the record's own counts.

        Returns:
            None where neither counts tokens.
        """
        given, returned = part(record, "input"), part(record, "output")
        counted = cls._of_counts(given, returned) if "inputTokenCount" in given else None
        body = returned.get("outputBodyJson")
        if isinstance(body, list | tuple):
            return _filled(cls.from_message_stream(body), counted)
        return _filled(cls.from_messages(part(body)), counted)

    @classmethod
    def from_report(cls, figures: Mapping[str, Any]) -> Self | None:
        """What `as_dict` gave, or a whole `CallReport.as_dict()`.

        Returns:
            None where it holds no usage.
        """
        known = part(figures)
        usage = part(known, "usage") if "usage" in known else known
        if count(usage.get("uncached_tokens")) is None:
            return None
        found = {f.name: count(usage.get(f.name)) for f in fields(cls)}
        return cls(**{name: n for name, n in found.items() if n is not None})

    @classmethod
    def _of_buckets(
        cls,
        *,
        uncached: int | None,
        output: int | None,
        read: int | None,
        write: int | None,
        split: Split | None = None,
        total: int | None = None,
    ) -> Self:
        uncached, output = uncached or 0, output or 0
        rest = None if total is None else total - uncached - output - (read or 0)
        write = counts.undoubled(write, None if split is None else sum(split), rest)
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
            counts.add(self.read_tokens, other.read_tokens),
            counts.add(self.write_tokens, other.write_tokens),
            counts.add(self.write_5m_tokens, other.write_5m_tokens),
            counts.add(self.write_1h_tokens, other.write_1h_tokens),
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


def _is_openai(model_id: str | None) -> bool:
    return model_id is not None and (base_model(model_id) or "").startswith("openai.")


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
