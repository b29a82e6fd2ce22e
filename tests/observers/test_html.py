"""The page: whole, small, alone, and safe whatever the lines say."""

import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest

from cachepoint.core.accounting.diagnosis import Miss
from cachepoint.observers import page
from cachepoint.observers.charts import scale
from cachepoint.reporting.tally import Row, Tally
from tests.observers.reports import START, report, talk

CHROMIUM = shutil.which("chromium")
VOID = {"meta", "br"}


class Balance(HTMLParser):
    """Every element is closed where it should be."""

    def __init__(self):
        super().__init__()
        self.open, self.loads = [], []

    def handle_starttag(self, tag, attrs):
        self.loads += [v for k, v in attrs if k in {"src", "href", "xlink:href", "data", "action"}]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.loads += [v for k, v in attrs if k in {"href", "xlink:href"}]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def drawn(*reports, **options):
    text = page(Tally.of(Row.of(r) for r in reports), **options)
    parser = Balance()
    parser.feed(text)
    return text, parser


@pytest.fixture(scope="module")
def run():
    """2,000 calls in 100 conversations; in every third the cache breaks."""
    return [
        one
        for n in range(100)
        for one in talk(20, conversation=f"c{n}", at=START + 400 * n, breaks={11} if n % 3 == 0 else ())
    ]


def test_it_is_alone_and_small(run):
    text = page(Tally.of(map(Row.of, run)))

    assert len(text.encode()) < 2_000_000
    assert not re.search(r"<script|<link|<img|@import|url\(|https?:|//", text)
    assert "default-src 'none'" in text


def test_it_shows_every_conversation_and_every_call(run):
    text = page(Tally.of(map(Row.of, run)))

    assert text.count('<svg class="stack"') == 100
    assert text.count("<title>") == 2_000 + 1
    assert text.count("expired in call 12") == 34
    assert text.index("expired in call 12") < text.index("<b>c1</b>, 20 calls")


def test_the_figures_are_on_it(run):
    tally = Tally.of(map(Row.of, run))
    text = page(tally)
    paid, full = tally.sums.money

    for shown in (
        f"${paid:,.2f}",
        f"${full:,.2f}",
        f"${full - paid:,.2f}",
        f"{tally.sums.usage.input_tokens:,} input",
    ):
        assert shown in text
    # 34 breaks, each of what was held after ten calls more than the first.
    assert f"{34 * 7_000:,}" in text
    assert "What was lost, by cause" in text
    assert "The largest losses" in text


def test_it_stays_small_for_very_many():
    def rows():
        one = Row.of(report(0, 2_000, miss=Miss("expired", "system[0]", 100)))
        for n in range(60_000):
            yield one._replace(at=START + n, conversation=f"c{n // 30}")

    text = page(Tally.of(rows()))

    assert len(text) < 2_000_000
    assert "60,000 calls" in text
    assert "are kept" in text


def test_single_calls_share_a_card():
    text, _ = drawn(*(report(0, 100, conversation=f"c{n}", at=START + n) for n in range(150)))

    assert "conversations of one call</b>, 120 calls" in text
    assert "conversations of one call</b>, 30 calls" in text


@pytest.mark.parametrize(
    "reports",
    [
        (),
        (report(),),
        (report(usage=None),),
        (report(model="made.up", conversation=None),),
        (report(0, 0, 0, 0),),
        tuple(talk(2)),
        tuple(report(0, 2_000, at=START + 86_400 * n) for n in range(9)),
    ],
    ids=["nothing", "one", "no usage", "no price", "no tokens", "two", "days"],
)
def test_it_is_whole_whatever_there_is(reports):
    text, parser = drawn(*reports)

    assert text.rstrip().endswith("</html>")
    assert not parser.loads
    assert "None" not in text
    assert "nan" not in re.sub(r"[a-z]*nan[a-z]+|[a-z]+nan[a-z]*", "", text)


def test_a_loss_is_said():
    assert "<dt>Lost</dt>" in drawn(report(0, 2_000))[0]


def test_what_the_lines_say_is_escaped():
    bad = "<script>alert(1)</script>"
    text, _ = drawn(
        report(0, 100, model=bad, conversation=bad, miss=Miss(bad, bad, 50)),
        report(0, 100, model=bad, conversation=bad, miss=Miss(bad, bad, 50)),
        title=bad,
    )

    assert "<script" not in text
    assert "&lt;script" in text


@pytest.mark.parametrize(
    ("largest", "ticks"),
    [
        (67.7, [0, 20, 40, 60, 80]),
        (1, [0, 0.5, 1]),
        (0.0031, [0, 0.001, 0.002, 0.003, 0.004]),
        (4, [0, 1, 2, 3, 4]),
        (999, [0, 500, 1_000]),
        (0, [0, 1]),
    ],
)
def test_axes_are_round(largest, ticks):
    top, got = scale(largest)

    assert got == pytest.approx(ticks)
    assert top == got[-1] >= largest


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_it_opens_without_a_network(run, tmp_path):
    path = tmp_path / "out.html"
    path.write_text(page(Tally.of(map(Row.of, run))), "utf-8")
    flags = [
        *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
        *("--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={tmp_path}/chromium"),
        *("--enable-logging=stderr", "--log-level=0", "--dump-dom"),
    ]
    done = subprocess.run(
        [CHROMIUM, *flags, path.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )

    assert done.stdout.count('<svg class="stack"') == 100
    assert "CONSOLE" not in done.stderr
