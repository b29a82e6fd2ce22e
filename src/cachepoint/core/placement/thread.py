"""Which request this one goes on from, as far as it is remembered.

A conversation is known by where its requests overlap, not by how it begins: a window slides, a summary takes
the place of what was said, and other conversations begin with the same words.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from cachepoint.core.memory.records import Change, Table, Trace
from cachepoint.core.models.rules import TTL_SECONDS
from cachepoint.core.placement.planner import Plan
from cachepoint.core.placement.question import Question
from cachepoint.core.prompt.anatomy import Anatomy
from cachepoint.core.prompt.cuts import Split
from cachepoint.core.prompt.overlap import shared
from cachepoint.core.prompt.prefix import SHORT, Prefix

# Of what was said before the newest turn, so much must have stood in the request that it goes on from: an
# agent's standing answers stand in all its conversations, and each of its own in one.
_SHARED = 1 / 3


class Thread(NamedTuple):
    """Where a request stands among others.

    Attributes:
        before: The request that it goes on from; None: none is known.
        kin: Other requests that had the same tools, the same system prompt or the same question.
        keys: By what it is known to those that follow.
    """

    before: Trace | None
    kin: tuple[Trace, ...]
    keys: tuple[bytes, ...]

    @classmethod
    def of(
        cls, prefix: Prefix, turns: Sequence[bytes], kin: Sequence[bytes], known: Mapping[bytes, Trace]
    ) -> "Thread":
        """That of a request.

        Args:
            prefix: The request.
            turns: The keys of its last turns, the newest first.
            kin: Those of its tools and its system prompt.
            known: What is remembered under them.
        """
        met = [known[turn] for turn in turns if turn in known]
        if met and prefix.own.startswith(met[0].blocks):
            return cls(met[0], (), (turns[0],))
        said = _said(prefix)
        before = next((trace for trace in met if shared(trace.messages, said) > _SHARED), None)
        if before is not None:
            return cls(before, (), tuple(turns[:2]))
        return cls(None, (*met, *[known[key] for key in kin if key in known]), (*turns[:2], *kin))

    def trace(self, question: Question, prefix: Prefix, split: Split, plan: Plan) -> Trace:
        """What is kept of the request."""
        before, parts = self.before, prefix.parts
        marks = plan.checkpoints
        return Trace(
            settings=question.settings,
            seed=prefix.settings,
            parts=parts,
            blocks=prefix.lasting,
            head=prefix.head,
            conversation=parts[2] if before is None else before.conversation,
            anatomy=self._anatomy(question, prefix, split),
            at=question.now,
            lives=TTL_SECONDS[marks[-1].ttl] if marks else 0.0,
        )

    def noted(self, trace: Trace) -> tuple[Change, ...]:
        """What is to be remembered of the request."""
        return tuple([Change(Table.TURNS, key, trace) for key in self.keys])

    def _anatomy(self, question: Question, prefix: Prefix, split: Split) -> Anatomy:
        before = self.before
        if before is not None and before.parts[:2] == prefix.parts[:2]:
            return before.anatomy
        return question.digester.head(prefix, split.raw)


def _said(prefix: Prefix) -> bytes:
    """The blocks of what was said before the newest turn."""
    i = len(prefix.blocks)
    while i > prefix.head and prefix.blocks[i - 1].role != "assistant":
        i -= 1
    return prefix.own[prefix.head * SHORT : i * SHORT]
