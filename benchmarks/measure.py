"""What the benchmarks read off this process."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def timed(
    run: Callable[..., Any], *args: Any, clock: Callable[[], float] = time.thread_time
) -> tuple[float, Any]:
    """Seconds by a clock (CPU of this thread), and what came of it."""
    start = clock()
    result = run(*args)
    return clock() - start, result


def resident(process: int | str = "self") -> float:
    """Resident memory of a process in MB (Linux)."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024
