"""Counts as people read them."""


def counted(count: int, one: str, many: str = "") -> str:
    """A count with its noun: "1 call", "2,000 calls".

    Args:
        count: How many.
        one: What one of them is called.
        many: What several are called; with an `s` unless given.
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"
