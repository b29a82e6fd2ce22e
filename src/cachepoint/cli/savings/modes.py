"""The ways to pay for a model, and what stacks with what."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Mode:
    """One way to pay for a model, and where that is written."""

    name: str
    price: str
    caching: str
    batch: str
    geo: str
    source: str

    def as_dict(self) -> dict[str, Any]:
        """The mode for JSON."""
        return asdict(self)


# pricing: aws.amazon.com/bedrock/pricing; guide: "prompt caching" in the Bedrock user guide, which names no
# caching for batch and calls it "on-demand only"; both as of 2026-11.
MODES: tuple[Mode, ...] = (
    Mode("on-demand", "the list", "see next", "no", "+10 %, GovCloud +20 %", "pricing"),
    Mode("+ caching", "reads 0.025-0.25 of input, writes 1.25, 1h 2, Nova 1", "-", "no", "same", "pricing"),
    Mode("batch", "half of on-demand", "no", "-", "same", "guide"),
    Mode("provisioned", "an hourly price", "no", "no", "no figure known", "guide"),
)

STACKS = """\
Caching stacks with a geography's premium, with cross-region profiles and with \
service tiers (Nova: flex 0.5, priority 1.75, reads too). It does not stack with \
batch or provisioned throughput.
pricing: aws.amazon.com/bedrock/pricing; guide: "Prompt caching" in the Amazon \
Bedrock user guide; both as of 2026-11."""
