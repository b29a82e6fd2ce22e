"""What an audit says of calls is what the library says of them while they are made."""

import json

import pytest

from benchmarks.invocation_logs import Bedrock, calls
from cachepoint import PromptCache
from cachepoint.cli.audit.figures import follow
from cachepoint.cli.audit.follow import Follower
from cachepoint.cli.audit.formats.logged import Logged, UnusableError
from cachepoint.cli.audit.prints import Printer
from cachepoint.core.accounting.usage import Usage
from cachepoint.core.prompt.dialects import DIALECTS

ACCOUNT = "111122223333"
MODEL = "us.anthropic.claude-sonnet-4-6"
SYSTEM = "You answer for the lamps of a harbour, and for nothing else. " * 200
HOUR = 3_600.0


def prints(logged):
    printer = Printer(b"k" * 32)
    return [printer.of(call, f"log:{n}") for n, call in enumerate(logged, 1)]


def followed(logged):
    follower = Follower()
    return [follower.see(one) for one in prints(logged)]


@pytest.fixture(scope="module")
def live():
    """Calls that the library planned: what it said of each, and the record of each."""
    bedrock, told, logged = Bedrock(7), [], []
    cache = PromptCache(clock=lambda: bedrock.now)
    for at, desk, body, _, _ in calls(500, ACCOUNT, 7, desks=12):
        bedrock.now = at
        request = DIALECTS["converse"].write(json.loads(body), {}, None, {})
        call = cache.prepare(request, desk.model)
        answer, usage = bedrock.converse(desk.model, json.dumps(call.request).encode())
        told.append(cache.settle(call, json.loads(answer)).miss)
        used = Usage.from_converse({"usage": usage})
        logged.append(Logged(at, desk.model, used, call.request, account=ACCOUNT))
    return told, logged


def test_it_names_the_causes_that_the_library_named(live):
    """But where the library knew that a head changes by the call and did not mark it: nothing was lost."""
    told, logged = live
    found = [verdict.miss for verdict in followed(logged)]
    pairs = [(ours and ours.cause, theirs and theirs.cause) for ours, theirs in zip(told, found, strict=True)]
    apart = [pair for pair in pairs if pair[0] != pair[1]]
    assert len(pairs) == 500
    assert len({cause for cause, _ in pairs}) >= 4
    assert set(apart) <= {("system_changed", None)}
    assert len(apart) < 60


def asked(at, usage, *, system=SYSTEM, ttl=None, tools=(), question="Which lamp is red?"):
    point = {"cachePoint": {"type": "default", **({"ttl": ttl} if ttl else {})}}
    request = {
        "system": [{"text": system}, point],
        "messages": [{"role": "user", "content": [{"text": question}]}],
    }
    if tools:
        request["toolConfig"] = {"tools": list(tools)}
    return Logged(at, MODEL, usage, request, account=ACCOUNT, identity="harbour")


WROTE, READ = Usage(20, 5, 0, 3_000), Usage(20, 5, 3_000, 0)


@pytest.mark.parametrize(
    ("ttl", "pause", "cause"),
    [
        (None, 60, "evicted_or_rerouted"),
        (None, 400, "expired"),
        ("1h", 400, "evicted_or_rerouted"),
        ("1h", HOUR + 60, "expired"),
    ],
)
def test_what_must_be_there_and_is_not_read_was_evicted_and_what_is_too_old_has_expired(ttl, pause, cause):
    first, second = followed([asked(0.0, WROTE, ttl=ttl), asked(pause, WROTE, ttl=ttl)])
    assert first.miss.cause == "first_write"
    assert (second.miss.cause, second.miss.tokens) == (cause, 3_000)


def test_a_read_proves_that_the_entry_lives_on():
    *_, last = followed([asked(0.0, WROTE), asked(200.0, READ), asked(450.0, WROTE)])
    assert last.miss.cause == "evicted_or_rerouted"


def test_a_family_begins_with_the_same_tools_or_the_same_system_prompt():
    tool = {
        "toolSpec": {"name": "look", "description": "Looks.", "inputSchema": {"json": {"type": "object"}}}
    }
    other = {"toolSpec": {**tool["toolSpec"], "name": "ask"}}
    told = followed(
        [
            asked(0.0, WROTE, tools=[tool]),
            asked(1.0, WROTE, tools=[tool], system=SYSTEM + "Be short."),
            asked(2.0, WROTE, tools=[other]),
            asked(3.0, READ, tools=[tool], question="And now?"),
            asked(4.0, READ, tools=[other], question="And now?"),
        ]
    )
    assert [one.family for one in told] == ["log:1", "log:1", "log:3", "log:1", "log:3"]


def test_what_callers_and_families_used_adds_up_to_all(live):
    logged = [one._replace(identity=f"caller {n % 3}") for n, one in enumerate(live[1])]
    found = follow(prints(logged))
    whole = found.tally.sums
    assert set(found.identities) == {"caller 0", "caller 1", "caller 2"}
    for apart in (found.identities, found.families):
        assert len(apart) > 1
        assert sum(one.calls for one in apart.values()) == whole.calls == 500
        assert sum(one.usage.input_tokens for one in apart.values()) == whole.usage.input_tokens
        assert sum(one.usage.read_tokens for one in apart.values()) == whole.usage.read_tokens
        assert sum(one.cost for one in apart.values()) == whole.cost
    mine = [one.usage for one in logged if one.identity == "caller 1"]
    assert found.identities["caller 1"].usage.write_tokens == sum(one.write_tokens for one in mine)


def test_half_a_surrogate_pair_in_a_name_can_be_written_down():
    (made,) = prints([asked(0.0, WROTE)._replace(identity="harbour \ud83d", account="é")])
    assert (made.identity, made.account) == ("harbour ?", "é")


@pytest.mark.parametrize("role", ["", "CANARY", "tool"])
def test_a_role_that_there_is_not_is_kept_as_another(role):
    call = asked(0.0, WROTE)
    odd = {**call.request, "messages": [{"role": role, "content": [{"text": "Which?"}]}]}
    (made,) = prints([call._replace(request=odd)])
    assert made.roles == "So"
    assert follow([made]).tally.sums.calls == 1


def test_counts_that_cannot_be_are_refused():
    with pytest.raises(UnusableError, match="its counts cannot be"):
        prints([asked(0.0, Usage(10**15, 5, 0, 0))])
