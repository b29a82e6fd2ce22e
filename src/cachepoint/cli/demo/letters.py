"""Letters to sort, and examples of sorted ones: classification by a few examples."""

from collections.abc import Iterator
from itertools import islice, product
from typing import NamedTuple

EXAMPLES = 40
ITEMS = 50

INSTRUCTIONS = """\
You sort the letters that a support desk gets about the Amazon Bedrock API. Answer with one word, the \
topic."""
EXAMPLE = "Letter: {message}\nTopic: {topic}"
ITEM = "Letter: {message}\nTopic:"

_OPENINGS = (
    "Good morning, I write on behalf of the team that keeps the claims portal of an insurer running.",
    "Hello, we moved our assistant for field engineers to Bedrock in spring, and most of it is fine by now.",
    "Dear support, I took this service over from a colleague who has left, so bear with me if it is simple.",
    "Hi all, this concerns the nightly job that reads about nine hundred contracts and sums each of them up.",
    "To whom it may concern, our pharmacy desk answers questions from a leaflet and has done so for a year.",
)
# Topic, and what is written about it.
_MATTERS = (
    ("access", "Since the role was changed each call ends with AccessDeniedException, in one account only."),
    ("quota", "From about ten o'clock on every third call is throttled, however long we wait between two."),
    ("request", "It says that an extraneous key is not permitted, and names a block that we always sent."),
    ("answer", "The answer ends in the middle of a sentence with max_tokens, though we never set a limit."),
    ("price", "What was written to the cache stands on the bill at more than we pay for plain input tokens."),
    (
        "access",
        "In the console the model shows as granted, yet the same key is told that it may not.",
    ),
    ("quota", "We were told of a raised limit of tokens per minute, but the console shows the former one."),
    ("request", "A tool result without its call in the message before is refused, and we can't see which."),
    ("answer", "It calls the same tool with the same arguments over and over and never comes to an end."),
    ("price", "Two calls that differ in one word cost ten times as much the one as the other, on one day."),
)
_ENDINGS = (
    """It has been so for two days now, and nothing was rolled out in that time. Could somebody tell us \
where to look first? The logs of last Thursday are attached, with all the request ids.""",
    """A second team here sees the same, though with another model and in another Region. What do you need \
from us to find out? We can run it again at any time in the account for tests.""",
)


class Letter(NamedTuple):
    """What is written, and the topic."""

    message: str
    topic: str


def _letters() -> Iterator[Letter]:
    for ending, (topic, matter), opening in product(_ENDINGS, _MATTERS, _OPENINGS):
        yield Letter(f"{opening} {matter} {ending}", topic)


def examples() -> list[Letter]:
    """Letters whose topic is known."""
    return list(islice(_letters(), EXAMPLES))


def items() -> list[str]:
    """Letters to sort."""
    return [letter.message for letter in islice(_letters(), EXAMPLES, EXAMPLES + ITEMS)]
