"""What the checks look at: gathered once, and then never changed. It holds no secret."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from cachepoint.core.policy import CachePolicy

Version = tuple[int, ...]
MemoryState = Literal["own", "unknown", "refused", "gone", "answers"]


class Requirement(NamedTuple):
    """What an extra of ours wants of a distribution. A bound that is not there is empty."""

    extra: str
    name: str
    least: Version = ()
    below: Version = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error of AWS: its code, or the class of what botocore raised, and what it says."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Boto:
    """What the installed boto3 knows.

    Attributes:
        version: That of boto3.
        shapes: The shapes of bedrock-runtime, each with its members.
        wrappers: The modules of what wraps its client in this process.
        fault: Why no client can be made; None where one can.
    """

    version: str
    shapes: Mapping[str, frozenset[str]] = field(default_factory=dict)
    wrappers: tuple[str, ...] = ()
    fault: Refusal | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """The model that is asked about: its id, and the base model behind it where one is named."""

    model: str
    base: str | None = None


@dataclass(frozen=True, slots=True)
class Remembering:
    """What became of the memory that CACHEPOINT_MEMORY names.

    Attributes:
        state: `"own"`: none is named; `"unknown"`: this version connects to none; `"refused"`: it can't be
            made; `"gone"`: it does not answer; `"answers"`.
        where: The store, without user and password.
        why: What is wrong.
        seconds: How long an answer took.
    """

    state: MemoryState = "own"
    where: str = ""
    why: str = ""
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Service:
    """What AWS says, where it is asked.

    Attributes:
        credentials: Where they are from; empty where there are none.
        region: The Region that is called; empty where none is named.
        endpoint: The endpoint that is called; empty where there is no client.
        called: Whether a call was made.
        refusal: Why it was not answered, or could not be made.
        behind: The base model behind a profile that hides it, as AWS told it.
        hidden: Why AWS did not tell it.
    """

    credentials: str = ""
    region: str = ""
    endpoint: str = ""
    called: bool = False
    refusal: Refusal | None = None
    behind: str | None = None
    hidden: Refusal | None = None


@dataclass(frozen=True, slots=True)
class Setup:
    """All that the checks look at.

    Attributes:
        python: The version of Python.
        versions: Those of what is installed, by distribution.
        requirements: What our extras want.
        variables: The environment's variables that matter, with the values that may be shown; None: it is
            set, and its value is nobody's business.
        policy: What holds without a word of the program.
        boto: What boto3 knows; None where there is none.
        asked: The model that is asked about.
        memory: What became of the memory.
        service: What AWS says; None where it is not asked.
        at: When, in seconds since 1970.
    """

    python: str
    versions: Mapping[str, str]
    requirements: tuple[Requirement, ...] = ()
    variables: Mapping[str, str | None] = field(default_factory=dict)
    policy: CachePolicy = field(default_factory=CachePolicy)
    boto: Boto | None = None
    asked: Asked | None = None
    memory: Remembering = field(default_factory=Remembering)
    service: Service | None = None
    at: float = 0.0
