"""Suggestions for misspelled names."""

from collections.abc import Iterable

_LIKENESS = 0.7


def closest(name: str, known: Iterable[str], likeness: float = _LIKENESS) -> str | None:
    """The known name that is most like this one; `None` when none is much like it: of 1, so much of
    two names is the same at least. Dashes at the start, upper case, and `_` for `-` do not count.
    """
    # Here because it takes a while, and most names are right.
    from difflib import get_close_matches

    plain = {_plain(one): one for one in known}
    asked = _plain(name)
    if asked in plain:
        return plain[asked]
    beginnings = [one for one in plain if asked and one.startswith(asked)]
    if len(beginnings) == 1:
        return plain[beginnings[0]]
    found = get_close_matches(asked, plain, n=1, cutoff=likeness)
    return plain[found[0]] if found else None


def _plain(name: str) -> str:
    return name.lstrip("-").lower().replace("_", "-")
