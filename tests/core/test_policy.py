import copy
import pickle
import re
from dataclasses import asdict, replace

import pytest
from builders import SONNET, marks, text, user

from cachepoint import CachePolicy, PromptCache, configure
from cachepoint.core import policy as policies
from cachepoint.core.guard import InvalidOptionError
from cachepoint.core.policy import default_policy, is_named, resolved, set_default


@pytest.fixture(autouse=True)
def _no_process_default():
    yield
    set_default(None)


@pytest.fixture
def unsaid(monkeypatch):
    """As in a process that has said nothing yet."""
    monkeypatch.setattr(policies._Default, "environment_seen", False)
    for said in (policies._warn, policies._warn_unknown, policies._asked):
        said.cache_clear()


def test_defaults_come_from_the_environment():
    env = {"CACHEPOINT_MODE": "off", "CACHEPOINT_TTL": "1h", "OTHER": "x"}

    assert CachePolicy.from_env(env) == CachePolicy(mode="off", ttl="1h")


@pytest.mark.parametrize(
    ("env", "expected", "said"),
    [
        ({"CACHEPOINT_MODE": "OFF", "CACHEPOINT_TTL": " 1H "}, {"mode": "off", "ttl": "1h"}, None),
        ({"CACHEPOINT_DEBUG": "1"}, {}, "CACHEPOINT_DEBUG: no option"),
        ({"CACHEPOINT_MDOE": "off"}, {}, "CACHEPOINT_MDOE: no option.* did you mean CACHEPOINT_MODE"),
        (
            {"CACHEPOINT_TTL": "2h", "CACHEPOINT_TAIL": "never"},
            {"tail": "never"},
            "CACHEPOINT_TTL is '2h'.*'1h'",
        ),
        ({"CACHEPOINT_MODE": "", "CACHEPOINT_MEMORY": "redis://u:secret@h"}, {}, None),
        # What Kubernetes puts there for a service called cachepoint.
        (
            {
                "CACHEPOINT_PORT": "tcp://10.0.0.7:80",
                "CACHEPOINT_SERVICE_HOST": "10.0.0.7",
                "CACHEPOINT_TTL": "1h",
            },
            {"ttl": "1h"},
            "CACHEPOINT_PORT, CACHEPOINT_SERVICE_HOST: no option",
        ),
    ],
)
def test_a3_what_the_environment_holds_is_one_warning_and_never_an_error(env, expected, said, caplog, unsaid):
    """A3: every call raised ValueError, also with Llama."""
    for _ in range(3):
        assert CachePolicy.from_env(env).options() == expected
    assert [bool(re.search(said or "", r.message)) for r in caplog.records] == [True] * (said is not None)
    assert "10.0.0.7" not in caplog.text


def test_a3_in_every_call(monkeypatch, caplog, unsaid):
    """A3: one warning in the process, whatever is called how often."""
    monkeypatch.setenv("CACHEPOINT_PORT", "tcp://10.0.0.7:80")
    monkeypatch.setenv("CACHEPOINT_TTL", "often")
    cache = PromptCache()
    for model in ("meta.llama3-3-70b-instruct-v1:0", SONNET, SONNET):
        cache.prepare({"messages": [user(text(2_000))]}, model_id=model)

    said = [r.message for r in caplog.records if "CACHEPOINT" in r.message]
    assert sorted(m.split()[0] for m in said) == ["CACHEPOINT_PORT:", "CACHEPOINT_TTL"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "on"}, "CachePolicy.mode is 'on'; use one of 'auto', 'off'"),
        ({"ttl": "2h"}, "CachePolicy.ttl is '2h'; use one of 'auto', '5m', '1h'"),
        ({"tail": None}, "CachePolicy.tail is None"),
    ],
)
def test_a_wrong_value_is_named_with_the_choices(options, message):
    with pytest.raises(ValueError, match=message):
        CachePolicy(**options)


def test_people_may_write_a_mode_or_a_dict():
    assert CachePolicy.of("off") == CachePolicy(mode="off")
    assert CachePolicy.of({"ttl": "1h"}) == CachePolicy(ttl="1h")
    with pytest.raises(ValueError, match="no option 'tll'; it has mode, ttl"):
        CachePolicy.of({"tll": "1h"})
    with pytest.raises(TypeError, match="a cache policy is"):
        CachePolicy.of(3)


def test_configure_sets_the_process_default():
    configure(ttl="1h")
    configure("off")

    assert default_policy() == CachePolicy(mode="off")


def test_configure_leaves_what_it_does_not_name():
    configure(ttl="1h")
    configure(observers=[])

    assert default_policy() == CachePolicy(ttl="1h")


def test_configure_sets_nothing_where_something_is_wrong():
    configure(ttl="1h")
    with pytest.raises(ValueError, match="no option 'tll'"):
        configure("off", tll="5m")

    assert default_policy() == CachePolicy(ttl="1h")


ALL = {
    "mode": "auto",
    "ttl": "auto",
    "head_ttl": None,
    "tail": "auto",
    "split": "learned",
    "documents": "auto",
    "reorder": "off",
    "relocate": "off",
    "fan_out": "single_flight",
    "explain": "digests",
}


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([], {}),
        ([None, None], {}),
        ([{"documents": "shared"}, {"ttl": "1h"}], {"documents": "shared", "ttl": "1h"}),
        ([{"ttl": "1h"}, {"ttl": "5m"}], {"ttl": "5m"}),
        ([{"mode": "off"}, {"ttl": "1h"}, None], {"mode": "off", "ttl": "1h"}),
        ([{"head_ttl": "1h"}, {"head_ttl": None}], {"head_ttl": None}),
        ([{"mode": "off"}, "auto"], {"mode": "auto"}),
    ],
)
def test_c13_policies_merge_option_by_option(layers, expected):
    """C13: the last that names an option decides it, be it with the default."""
    merged = CachePolicy.layered(*(CachePolicy.of(layer) for layer in layers))

    assert merged == CachePolicy(**expected)
    assert merged.options() == expected


def test_c13_from_the_process_to_the_call(monkeypatch):
    """C13: `configure(documents="shared")` was lost where a call said `{"ttl": "1h"}`."""
    monkeypatch.setenv("CACHEPOINT_SPLIT", "off")
    monkeypatch.setenv("CACHEPOINT_TAIL", "never")
    set_default(CachePolicy(documents="shared", tail="always"))
    of_cache, of_model, of_call = (
        CachePolicy.of(v) for v in ({"ttl": "1h"}, {"head_ttl": "1h"}, {"ttl": "5m"})
    )

    assert resolved(of_cache, of_model, of_call).options() == {
        "split": "off",
        "tail": "always",
        "documents": "shared",
        "ttl": "5m",
        "head_ttl": "1h",
    }
    assert default_policy() == CachePolicy(split="off", tail="always", documents="shared")


def test_c13_one_switch_holds_over_all(monkeypatch):
    """C13: CACHEPOINT_MODE=off did not hold against a model's own policy."""
    set_default(CachePolicy(mode="auto"))
    request = {"messages": [user(text(3_000))]}
    cache = PromptCache(policy=CachePolicy(mode="auto", tail="always"))
    assert marks(cache.prepare(request, model_id=SONNET, policy={"mode": "auto"}).request)

    monkeypatch.setenv("CACHEPOINT_MODE", "Off")
    call = cache.prepare(request, model_id=SONNET, policy={"mode": "auto"})
    assert call.request == request
    assert call.plan.note == "mode is off"


def test_c13_what_was_named_is_no_part_of_the_policy():
    """C13: asdict, replace, pickle, copies and == are those of a plain dataclass."""
    named, bare = CachePolicy(ttl="auto"), CachePolicy()
    assert (named.given, bare.given, CachePolicy("off").given) == ({"ttl"}, frozenset(), {"mode"})
    assert named == bare
    assert hash(named) == hash(bare)
    assert repr(named) == repr(bare)
    assert asdict(named) == ALL
    for same in (pickle.loads(pickle.dumps(named)), copy.copy(named), copy.deepcopy(named)):
        assert (same, same.given) == (named, {"ttl"})
    full = bare.but(**ALL)
    assert full.given == pickle.loads(pickle.dumps(full)).given == set(ALL)


def test_c13_but_keeps_what_was_named_and_replace_what_is_not_the_default():
    """C13."""
    policy = CachePolicy(ttl="1h", tail="auto")

    assert policy.but(mode="auto").given == {"ttl", "tail", "mode"}
    assert replace(policy, documents="shared").options() == {"ttl": "1h", "documents": "shared"}
    assert CachePolicy.of(asdict(policy)).options() == {"ttl": "1h"}


@pytest.mark.parametrize("value", [{"tll": "1h"}, {1: 2}, {"mode": ["off"]}, "x", 3, ["off"]])
def test_a4_what_is_no_policy_is_refused_where_it_is_given(value):
    """A4."""
    with pytest.raises(InvalidOptionError):
        CachePolicy.of(value)


def test_an_option_is_named_by_the_environment_the_process_or_a_policy(monkeypatch):
    assert not is_named("relocate", None, CachePolicy(ttl="1h"))
    assert is_named("relocate", CachePolicy(), CachePolicy(relocate="off"))
    monkeypatch.setenv("CACHEPOINT_RELOCATE", "marked")
    assert is_named("relocate", None)
    monkeypatch.delenv("CACHEPOINT_RELOCATE")
    set_default(CachePolicy(relocate="learned"))
    try:
        assert is_named("relocate", None)
    finally:
        set_default(None)
