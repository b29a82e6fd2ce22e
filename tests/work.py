"""How much work something is, in calls made: the same on every machine, however busy it is."""

import sys
from collections.abc import Callable


def work(run: Callable[[], object]) -> int:
    """The calls, of Python and of C, that `run()` makes in this thread."""
    count = 0

    def see(_frame, event, _arg):
        nonlocal count
        count += event in {"call", "c_call"}

    sys.setprofile(see)
    try:
        run()
    finally:
        sys.setprofile(None)
    return count
