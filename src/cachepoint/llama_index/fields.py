"""Options of our components that are none: pydantic would pass over them in silence."""

from collections.abc import Collection, Iterable

from cachepoint.core.guard import InvalidOptionError


def refuse_unknown(owner: type, given: Iterable[str], known: Collection[str]) -> None:
    """Refuse what is no option of a component.

    Args:
        owner: The component's class.
        given: The names that were given.
        known: Those that there are.

    Raises:
        InvalidOptionError: It names the option, and those that there are.
    """
    for name in given:
        if name not in known:
            raise InvalidOptionError(f"{owner.__name__} has no option {name!r}; it has {', '.join(known)}")
