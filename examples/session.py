"""A session adds up every call of a block; the reports also go to a file that `cachepoint report` reads."""

import inspect
import tempfile
import textwrap
from pathlib import Path

from _bedrock import MODEL, bedrock

import cachepoint
from cachepoint import observers
from cachepoint.langchain import CachedChatBedrockConverse

QUESTIONS = ("What does wrap do?", "What does dedent do?", "What does indent do?", "What does fill do?")

with tempfile.TemporaryDirectory() as folder, bedrock() as where:
    calls = Path(folder, "calls.jsonl")
    cachepoint.configure(observers=[observers.jsonl(calls)])
    llm = CachedChatBedrockConverse(model=MODEL, **where)
    with cachepoint.session("questions about textwrap") as s:
        llm.batch(
            [[("system", inspect.getsource(textwrap)), ("human", question)] for question in QUESTIONS],
            config={"max_concurrency": 1},
        )
    print(s)
    print(f"{s.usage.read_tokens:,} read, {s.hit_share:.0%} of the input; ${s.saved} saved")
    page = Path(folder, "report.html")
    page.write_text(observers.page(s.tally, "Questions about textwrap"), "utf-8")
    print(f"{len(calls.read_text().splitlines())} lines of JSON, a page of {page.stat().st_size:,} bytes")
