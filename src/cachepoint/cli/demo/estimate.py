"""What the demo may cost on the real service, from the same work on the emulator."""

from dataclasses import replace
from decimal import Decimal

from cachepoint.cli.demo.bench import Run
from cachepoint.core.accounting.pricing import cost
from cachepoint.core.drawing.words import counted


def estimate(runs: list[Run], model_id: str, longest: int, region: str) -> str:
    """The likely and the largest bill, in words.

    Args:
        runs: What the emulator counted.
        model_id: The model whose prices hold.
        longest: The most output tokens of one call.
        region: Where the calls go.
    """
    calls = sum(len(run.usages) for run in runs)
    tokens = sum(run.total.input_tokens for run in runs)
    head = f"On {model_id} in {region}: about {counted(calls, 'call')} with {counted(tokens, 'input token')}"
    likely, largest = _bill(runs, model_id), _bill([_wordy(run, longest) for run in runs], model_id)
    if likely is None or largest is None:
        return f"{head}. The price of this model is not known here."
    return (
        f"{head}: about ${likely:.2f}, or ${largest:.2f} with answers of {longest:,} tokens.\n"
        "A real model may take more steps than the emulator's. List prices, before tax."
    )


def _wordy(run: Run, longest: int) -> Run:
    return replace(run, usages=tuple(replace(usage, output_tokens=longest) for usage in run.usages))


def _bill(runs: list[Run], model_id: str) -> Decimal | None:
    amounts = [cost(usage, model_id, run.began) for run in runs for usage in run.usages]
    known = [amount for amount in amounts if amount is not None]
    return sum(known, Decimal()) if len(known) == len(amounts) else None
