"""`cachepoint audit`: the figures are the ledger's, what is broken is counted, and no text gets out."""

import gzip
import json
import logging
import tempfile
from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from benchmarks.invocation_logs import CANARY, HABITS
from cachepoint import Usage
from cachepoint.cli import build
from cachepoint.cli.audit import figures
from cachepoint.cli.audit.engines import duck, many
from cachepoint.cli.audit.engines.plan import Audit, Plan, account
from cachepoint.cli.audit.figures import follow
from cachepoint.cli.audit.scan import Piece, Scanned, prints, scan
from cachepoint.cli.audit.sources import Bodies, log_files
from cachepoint.core.accounting import pricing
from cachepoint.reporting.tally import OTHER

MARK = CANARY.split("{", maxsplit=1)[0]
REASONS = {
    "cut": "no JSON",
    "types": "input is of another type",
    "other": "another service's record",
    "body": "its body is in a file that is not here",
    "gzip": "broken gzip",
}


def invoke(*args, code=0):
    result = CliRunner().invoke(build(), ["audit", *map(str, args)])
    assert result.exit_code == code, result.output
    return result


def audited(root, **options):
    return duck.run(Plan.of([root / "AWSLogs"]), workers=1, **options)


@pytest.fixture(scope="session")
def found(log):
    return audited(log)


def test_hit_shares_and_money_are_the_ledgers(found, ledger):
    models = found.figures.as_dict()["models"]
    assert models.keys() == ledger.keys()
    for model, counts in ledger.items():
        sums, usage = models[model], models[model]["usage"]
        assert sums["calls"] == sums["priced_calls"] == counts["calls"]
        for ours, theirs in (
            ("uncached_tokens", "inputTokens"),
            ("read_tokens", "cacheReadInputTokens"),
            ("write_tokens", "cacheWriteInputTokens"),
            ("output_tokens", "outputTokens"),
        ):
            assert usage[ours] == counts[theirs]
        whole = Usage(
            counts["inputTokens"],
            counts["outputTokens"],
            counts["cacheReadInputTokens"],
            counts["cacheWriteInputTokens"],
            counts["cacheWriteInputTokens"],
            0,
        )
        at = datetime(2026, 10, 1, tzinfo=UTC).timestamp()
        # Prices of these models do not depend on a call's size below 200,000 tokens.
        assert Decimal(str(sums["cost_usd"])) == pytest.approx(pricing.cost(whole, model, at))


def test_each_broken_record_is_counted_with_file_and_line(found, broken, log):
    places = {(f"{log}/{f['file']}", f["line"]): REASONS[f["kind"]] for f in broken}
    assert {(f.file, f.line): f.reason for f in found.scanned.faults} == places
    assert found.scanned.reasons == Counter(places.values())
    assert len(set(places.values())) == 5
    assert found.scanned.calls == 1_600


CAUSES = {
    "clock": [("system_changed", "a time of day")],
    "shuffled": [("tools_changed", "reordered")],
    "cut": [("messages_changed", "history truncated")],
    "forced": [("settings_changed", "tool_choice")],
    "slow": [("expired", "")],
}


def test_each_habit_is_named(log):
    """What loses tokens is what the desks do wrong, and nothing else; Nova promises no lookback."""
    blamed = {habit: Counter() for habit in HABITS}
    for desk, calls in apart(log, desk_of).items():
        for kind, count in follow(calls).breaks.items():
            if count.tokens and kind.cause != "lookback_exceeded":
                blamed[HABITS[desk % len(HABITS)]][kind] += count.calls
    for habit, kinds in blamed.items():
        assert {kind.cause for kind in kinds} <= {cause for cause, _ in CAUSES.get(habit, ())}, habit
        for cause in CAUSES.get(habit, ()):
            assert kinds[cause] > 1, habit


def desk_of(call):
    return int(call.identity.rpartition("-")[2])


def apart(log, key):
    """The calls of each desk or account, by time."""
    root, found = [log / "AWSLogs"], {}
    for number, path in enumerate(log_files(root)):
        for table in scan(Piece(number, path), Bodies(root), b"k" * 32, Scanned()):
            for call in prints(table):
                found.setdefault(key(call), []).append(call)
    return {name: sorted(calls, key=lambda call: call.at) for name, calls in found.items()}


def test_the_distributed_engine_finds_the_same(found, log):
    plan = Plan.of([log / "AWSLogs"])
    logging.getLogger("distributed").setLevel(logging.ERROR)
    with many.connected("local", 2) as client:
        other = many.run(plan, client)
    assert as_plain(other) == as_plain(found)


def test_names_that_are_too_many_are_the_same_whoever_was_ready_first(log, monkeypatch):
    """Of those that do not fit the first are kept, by account."""
    monkeypatch.setattr(figures, "_MOST", 3)
    plan, accounts = Plan.of([log / "AWSLogs"]), apart(log, lambda call: call.account)
    each = [account(plan, Scanned(), name, calls) for name, calls in accounts.items()]
    one, other = Audit(), Audit()
    one.join(each)
    other.join(reversed(each))
    assert len(each) > 1
    assert one.figures.as_dict() == other.figures.as_dict()
    assert OTHER in one.figures.families


def test_a_cluster_of_this_machine_listens_here_alone_and_beside_another():
    with many.connected("local", 1), many.connected("local", 1):
        processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
        open_at = {c.laddr.ip for p in processes for c in p.net_connections() if c.status == "LISTEN"}
    assert open_at == {"127.0.0.1"}


def as_plain(audit):
    return audit.figures.as_dict(), audit.scanned.reasons, audit.scanned.faults, audit.scanned.calls


def test_no_text_gets_out(log, tmp_path, monkeypatch):
    """The canaries of the prompts stand in the log, and neither in what is shown nor in files of the run."""
    assert MARK.encode() in gzip.decompress(log_files([log / "AWSLogs"])[-1].read_bytes())
    seen = []

    class Kept(tempfile.TemporaryDirectory):
        def cleanup(self):
            for path in Path(self.name).rglob("*"):
                if path.suffix == ".parquet":
                    seen.append(str(pq.read_table(path).to_pylist()))
                elif path.is_file():
                    seen.append(path.read_bytes().decode("latin-1"))
            super().cleanup()

        __exit__ = lambda self, *_: self.cleanup()  # noqa: E731

    monkeypatch.setattr(tempfile, "TemporaryDirectory", Kept)
    page = tmp_path / "page.html"
    shown = [
        invoke(log / "AWSLogs", "--replay", "--html", page, "--temp", tmp_path, "--workers", 1).output,
        invoke(log / "AWSLogs", "--json", "--workers", 1).output,
        page.read_text(),
    ]
    assert len(seen) >= 16
    assert "desk-7" in "".join(seen)
    for text in (*shown, *seen):
        assert MARK not in text
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_a_low_hit_share_ends_with_1(log):
    share = json.loads(invoke(log / "AWSLogs", "--json", "--workers", 1).stdout)["hit_share"]
    assert 0.2 < share < 0.8
    assert "is below 0.99" in invoke(log / "AWSLogs", "--min-hit", 0.99, "--workers", 1, code=1).output
    invoke(log / "AWSLogs", "--min-hit", share - 0.01, "--workers", 1)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["nowhere"], "'nowhere' is no file and no folder"),
        (["."], "holds no log"),
        ([".", "--min-hit", "7"], "--min-hit is 7.0; give a share, 0 to 1"),
        ([".", "--html", "."], "give it a file in a folder that exists"),
        ([".", "--html", "page.html"], "lies in what is read"),
        ([".", "--html", "--json"], "'--json'; give it a file"),
        ([".", "--html", "-", "--json"], "both go to standard output"),
        ([".", "--temp", "nowhere"], "give a folder that exists"),
    ],
)
def test_what_cannot_be_meant_is_said_before_anything_is_read(args, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert said in " ".join(invoke(*args, code=1).output.split())
