"""A PromptCache that looks ahead before each call, and keeps what it foresaw beside what then happened."""

from collections import Counter

from cachepoint import PromptCache


class Looking(PromptCache):
    """`seen` holds (outlook, usage) of each call."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.seen = []
        self.foreseen = {}

    def prepare(self, request, model_id=None, *, warm=False, **options):
        seen = self.outlook(request, model_id, **options)
        call = super().prepare(request, model_id, warm=warm, **options)
        self.foreseen[call.token] = seen
        return call

    def settle(self, call, response, **options):
        report = super().settle(call, response, **options)
        self.seen.append((self.foreseen.pop(call.token), report.usage))
        return report


def known(seen):
    """Those whose stream was known."""
    return [(o, usage) for o, usage in seen if o.state != "unknown"]


def states(seen):
    """How often what was foreseen came, and how often it did not."""
    return Counter((o.state, usage.read_tokens > 0) for o, usage in seen)


def wrong(seen):
    """The calls of known streams of which it was wrong: whether anything is read, or by more than 5 % how much."""
    return [
        (o, usage)
        for o, usage in known(seen)
        if (o.state == "warm") is not (usage.read_tokens > 0)
        or abs(o.read_tokens - usage.read_tokens) > 0.05 * usage.read_tokens
    ]
