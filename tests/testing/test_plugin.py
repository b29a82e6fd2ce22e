"""The plugin in a run of pytest of its own: the marker, the ini option, and what it loads."""

import subprocess
import sys

import pytest

import cachepoint
import cachepoint.testing
from cachepoint.core.placement.planner import Plan

pytest_plugins = ["pytester"]

TESTS = """
    import boto3
    import pytest

    def ask(system):
        boto3.client("bedrock-runtime").converse(
            modelId="us.anthropic.claude-sonnet-4-6",
            system=[{"text": system + " The pump holds four litres."}],
            messages=[{"role": "user", "content": [{"text": "hi"}]}],
        )

    def moves():
        ask("It is 10:41.")
        ask("It is 10:42.")

    def test_moves(bedrock):
        moves()

    @pytest.mark.moves_prefix
    def test_means_to(bedrock):
        moves()

    def test_stays(bedrock):
        ask("It is noon.")
        ask("It is noon.")

    def test_asks_nothing(bedrock):
        pass

    def test_fails_by_itself(bedrock):
        moves()
        assert not "its own"
"""
SAYS = "*call 2 against call 1: system[[]0[]] differs from character 10 on: a time of day"


@pytest.fixture
def run(pytester):
    def ran(*options):
        pytester.makepyfile(TESTS)
        return pytester.runpytest_inprocess("--strict-markers", "-p", "no:asyncio", *options)

    return ran


def test_a_test_that_moves_a_prefix_fails_where_all_are_looked_at(run):
    done = run("-o", "cachepoint_prefix_stable=true")
    done.assert_outcomes(failed=2, passed=3)
    done.stdout.fnmatch_lines([SAYS, "*AssertionError: assert not 'its own'", "FAILED *test_moves*"])
    assert "test_plugin.py" not in done.stdout.str()


def test_no_test_is_looked_at_unless_it_is_asked_for(run):
    run().assert_outcomes(failed=1, passed=4)


# What a run without any test of ours has loaded at its end, and whether the plugin was there.
LOADED = """
import sys

def pytest_sessionfinish(session):
    ours = sorted(name for name in sys.modules if name.split(".")[0] == "cachepoint")
    print("LOADED", *ours, session.config.pluginmanager.has_plugin("cachepoint"))
"""


@pytest.mark.parametrize(
    ("options", "loaded"),
    [
        ([], "cachepoint cachepoint.testing cachepoint.testing.plugin True"),
        (["-p", "no:cachepoint"], "False"),
    ],
)
def test_a_run_that_asks_for_no_fixture_loads_no_more_than_the_plugin(options, loaded, tmp_path):
    (tmp_path / "conftest.py").write_text(LOADED)
    command = [sys.executable, "-B", "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", *options]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120, check=False)
    (said,) = [line for line in done.stdout.splitlines() if line.startswith("LOADED")]
    assert said.removeprefix("LOADED").strip() == loaded, done.stdout + done.stderr


def test_the_plugin_itself_loads_nothing_foreign():
    code = "import sys, pytest; before = {*sys.modules}; import cachepoint.testing.plugin; print(*({*sys.modules} - before))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert {*done.stdout.split()} == {"cachepoint", "cachepoint.testing", "cachepoint.testing.plugin"}


@pytest.mark.parametrize("package", [cachepoint, cachepoint.testing])
def test_every_name_is_loaded_when_it_is_asked_for(package):
    assert {*package.__all__} <= {*dir(package)}
    assert all(getattr(package, name) is not None for name in package.__all__)
    with pytest.raises(AttributeError, match=rf"module '{package.__name__}' has no attribute 'nothing'"):
        package.nothing  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'nothing'"):
        exec(f"from {package.__name__} import nothing")


def test_a_name_is_the_one_of_its_home():
    assert cachepoint.Plan is Plan
    assert not hasattr(cachepoint, "nothing")
