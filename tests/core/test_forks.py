"""A8: a child that was forked while a thread held a lock of ours works."""

import gc
import os
import subprocess
import sys

import pytest

from cachepoint.core import forks

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")

CHILD = """
import os, threading
from cachepoint.core.forks import at_fork

class Table:
    def __init__(self):
        self.renew()
        at_fork(self.renew)
    def renew(self):
        self.lock = threading.Lock()

def broken():
    raise RuntimeError

at_fork(broken)
table, held, done = Table(), threading.Event(), threading.Event()

def hold():
    with table.lock:
        held.set()
        done.wait()

thread = threading.Thread(target=hold)
thread.start()
held.wait()
child = os.fork()
if not child:
    os._exit(0 if table.lock.acquire(timeout=5) else 1)
status = os.waitpid(child, 0)[1]
done.set()
thread.join()
raise SystemExit(os.waitstatus_to_exitcode(status))
"""


def test_a8_a_lock_is_made_anew_in_the_child_whatever_another_reset_raises():
    """A8: os.fork() while a thread holds the lock."""
    ran = subprocess.run([sys.executable, "-c", CHILD], check=False, timeout=30, capture_output=True)

    assert ran.returncode == 0, ran.stderr


def test_what_registered_may_go():
    class Table:
        __slots__ = ("__weakref__", "lock")

        def renew(self):
            self.lock = 1

    gc.collect()
    before = len(forks._methods)
    table = Table()
    forks.at_fork(table.renew)
    assert len(forks._methods) == before + 1
    forks._in_child()
    assert table.lock == 1
    del table
    gc.collect()
    assert len(forks._methods) == before


def test_a8_a_lock_is_free_in_the_child_whoever_held_it():
    """A8: sessions, totals and sinks have locks too."""
    from cachepoint.core.forks import ForkSafeLock, _in_child

    lock = ForkSafeLock()
    with lock:
        _in_child()
        with lock:
            pass
        # What the end of this block gives back.
        lock.acquire()
