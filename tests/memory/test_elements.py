"""What stands in the store, and what reads it."""

import inspect

from cachepoint.core.memory import counts, deeds, records
from cachepoint.core.memory.records import Place
from cachepoint.memory.store.elements import _WHOLE, _WRITTEN


def test_every_change_that_the_core_makes_can_be_written():
    """A new one is not left out in silence."""
    found = {
        kind
        for module in (counts, deeds, records)
        for kind in vars(module).values()
        if inspect.isclass(kind) and inspect.isfunction(vars(kind).get("over")) and kind is not records.Deed
    }
    assert len(found) > 12
    assert found <= set(_WRITTEN)
    assert {*records.Record.__args__} <= {*_WHOLE}
    assert Place in _WHOLE
