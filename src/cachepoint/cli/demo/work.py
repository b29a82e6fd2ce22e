"""The work of the agent, the chat and the documents, the same for every framework: what is said and asked."""

from collections.abc import Mapping
from functools import cache

from cachepoint.cli.demo.sources import glossary, section, sections
from cachepoint.core.policy import PolicyOptions

MAX_TOKENS = 1_024

# By job; what is not named runs on the default. The documents are few, and the questions about them many.
# The chat retrieves nothing: its reference is one of those documents, and whether another job of this
# process retrieved it must not count: it is shared by all turns.
POLICIES: Mapping[str, PolicyOptions] = {
    "chat": {"documents": "shared"},
    "documents": {"documents": "shared"},
}

_AGENT = """\
You write requests for the Amazon Bedrock runtime API on behalf of developers who are about to send them.
Your only source is the API's own description, which your tools read. What you remember may be out of date.

How to work
1. Find the operation that serves the purpose, then read its description before anything else.
2. Describe every shape that you put into the request. Look at related shapes together, in one step.
3. Where a field may stand in more than one place, read both and choose the one that the purpose asks for.
4. Check the whole request with validate_request. Correct every fault that it lists, then check again.
5. Only a request that was found valid is handed over.

What to hand over
- The request as JSON, with every value that the developer has to fill in named in capitals.
- One line for every optional field that you set, saying why it is there.
- The errors that the caller has to handle, and for each whether to try again.
- Where the response says what was read from and written to the prompt cache.
Say plainly what the description leaves open. Never invent a field, a limit or an error.

Words of the API, each with what the description says of it
"""

AGENT_TASK = """\
We answer questions about contracts. The contract is a PDF in S3, the instructions stay the same for every \
question and should be kept in the prompt cache for an hour, and the model may look up a customer by \
number. Write us the Converse request, check it, and say what our code has to handle."""

_CHAT = """\
You are on the support desk of a team that moderates what users and models write. Colleagues ask you \
about the ApplyGuardrail operation while they put it into their service. Answer from the reference below, \
in a few sentences, and name the fields that you speak of. Where the reference does not say, say so.

"""

CHAT_QUESTIONS = (
    "What does ApplyGuardrail do, and do I need a model to call it?",
    "Which parameters of the request are required?",
    "What is the difference between the source values INPUT and OUTPUT?",
    "How do I see in the response whether the guardrail intervened, and what action it took?",
    "Where do I find which topic policy was violated?",
    "And the content policy: what does filter confidence and strength tell me?",
    "We mask personal data. Which part of the assessment shows the PII entities and their type?",
    "Can I send an image as content, and in which format?",
    "What do the usage fields count, and in which units?",
    "How do I read the grounding score and its threshold in the contextual grounding policy?",
    "What is outputScope for, and when would I ask for FULL?",
    "Which errors should my retry treat as a throttle, and which as our own mistake?",
)

DOCUMENTS = """\
You answer questions about the Amazon Bedrock API. Use the following pieces of retrieved context to \
answer the question. If the context does not say, say that you don't know. Use three sentences at most \
and keep the answer concise.

{context}"""

DOCUMENT_QUESTIONS = (
    "In Converse, where may a cachePoint stand, and how long does its entry live?",
    "Which guardrail assessments does ApplyGuardrail return in its response?",
    "In Converse, what does the stopReason say about how the answer ended?",
    "In Converse, how is a tool result sent back to the model?",
    "What does CountTokens count, and what does it cost to use it?",
    "In ApplyGuardrail, what are the units of usage for the content policy?",
    "In Converse, which fields of usage tell what was read from the prompt cache?",
    "In CountTokens, can the input be an InvokeModel body as well as a Converse request?",
    "In ApplyGuardrail, which PII entity types are reported?",
    "In Converse, which image formats does a message take?",
    "Which permission does InvokeModel require?",
    "In CountTokens, how is the number of tokens returned?",
    "In Converse, what does the latency of performanceConfig choose?",
    "Where does StartAsyncInvoke store its output?",
)


@cache
def agent_instructions() -> str:
    """The agent's system prompt."""
    return _AGENT + glossary("Converse")


@cache
def chat_instructions() -> str:
    """The chat's system prompt: a reference and how to speak of it."""
    return _CHAT + section("ApplyGuardrail")


def documents() -> dict[str, str]:
    """The texts that questions are asked about, by name."""
    return sections()
