import pytest

from cachepoint import CachePolicy, configure
from cachepoint.core.policy import default_policy, set_default


@pytest.fixture(autouse=True)
def _no_process_default():
    yield
    set_default(None)


def test_defaults_come_from_the_environment():
    env = {"CACHEPOINT_MODE": "off", "CACHEPOINT_TTL": "1h", "OTHER": "x"}

    assert CachePolicy.from_env(env) == CachePolicy(mode="off", ttl="1h")


def test_a_misspelt_variable_is_an_error():
    with pytest.raises(ValueError, match=r"CACHEPOINT_MDOE is no option; there are .*CACHEPOINT_MODE"):
        CachePolicy.from_env({"CACHEPOINT_MDOE": "off"})


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
