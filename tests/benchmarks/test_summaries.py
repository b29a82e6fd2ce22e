"""What summaries inside the parent's prefix read, and what the whole run costs beside the stock way."""

import pytest


@pytest.mark.filterwarnings(
    "ignore:ChatSummaryMemoryBuffer is deprecated", "ignore:Call to deprecated", "ignore:unclosed"
)
@pytest.mark.parametrize("name", ["agent of langchain", "chat of llama-index"])
def test_the_history_is_read_for_a_summary(name):
    import summaries

    run, _ = summaries.KINDS[name]
    ours, stock = run("ours", 24), run("stock", 24)

    assert ours.summaries >= 1
    assert ours.read >= 0.85
    assert stock.summaries >= 1
    assert ours.cost <= 0.8 * stock.cost
