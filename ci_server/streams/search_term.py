"""What is searched for in logs: literal text, found in the bytes that are its UTF-8.

Case is ignored by simple case folding: one character for one (Unicode, CaseFolding.txt, C and S).
So offsets are those of the log's own bytes, `ß` is the same as `ẞ` and not as `ss`, and `i` with a
dot, without one, and as a capital with one are three letters.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable
from functools import lru_cache
from itertools import product
from math import prod

from ci_common.errors import InvalidSearchError
from ci_server.streams.plain_text import PlainText

LONGEST_TERM = 256
"""Characters."""

_MOST_SPELLINGS = 4
"""Two letters such as umlauts have so many. Each costs a look at the log."""

_LAST_CASED = 0x1E943
Find = Callable[[int], int]
"""Where, from an index on, the term may begin; -1 when it does not occur any more."""


class SearchTerm:
    """One text. Finding it has two steps: places where it may be, quickly, in whole pieces of a
    log, and then exactly, in the plain text of one line.
    """

    def __init__(self, text: str, *, exact_case: bool = False) -> None:
        """Raises InvalidSearchError."""
        _check(text)
        self._exact_case = exact_case
        self._bytes = text.encode()
        variants = [(one,) if exact_case else _variants(one) for one in text]
        encoded = [[variant.encode() for variant in one] for one in variants]
        self.pattern = re.compile(b"".join(_any_of(one) for one in encoded))
        """Finds the term in plain text."""
        self._odd = [one for group in encoded for one in _odd(group)]
        """What of ASCII letters is beyond ASCII: the Kelvin sign is a K."""
        self._spellings = _spellings(encoded)

    def finder(self, content: bytes) -> Find:
        """Finds places in the log's own bytes, whose escape sequences may be within the term. What
        it finds has to be checked, and everything that `pattern` finds in the lines' plain text
        begins at one of these places.
        """
        if b"\x1b" not in content:
            return self._finder_in_plain(content)
        plain = PlainText(content)
        find = self._finder_in_plain(plain.text)

        def find_place(at: int) -> int:
            found = find(plain.index_from(at))
            return found if found < 0 else plain.place_of(found)

        return find_place

    def may_be_in(self, content: bytes) -> bool:
        """Whether the finder finds anything."""
        return self._finder_in_plain(PlainText(content).text)(0) >= 0

    def _finder_in_plain(self, content: bytes) -> Find:
        if self._exact_case:
            return _finding(self._bytes, content)
        if not self._spellings or self._has_odd(content):
            return _searching(self.pattern, content)
        lower = content.lower()
        if len(self._spellings) == 1:
            return _finding(self._spellings[0], lower)
        used = [one for one in self._spellings if one in lower]
        # Most pieces have none; the expression, for those with several, takes ten times as long.
        if len(used) > 1:
            return _searching(self.pattern, content)
        return _finding(used[0], lower) if used else _nowhere

    def _has_odd(self, content: bytes) -> bool:
        return not content.isascii() and any(one in content for one in self._odd)


def _finding(text: bytes, content: bytes) -> Find:
    return lambda at: content.find(text, at)


def _nowhere(_at: int) -> int:
    return -1


def _searching(pattern: re.Pattern[bytes], content: bytes) -> Find:
    def find(at: int) -> int:
        match = pattern.search(content, at)
        return -1 if match is None else match.start()

    return find


def _check(text: str) -> None:
    if not text:
        raise InvalidSearchError("there is no text to search for (q)")
    if len(text) > LONGEST_TERM:
        raise InvalidSearchError(
            f"the text to search for has {len(text)} characters, more than {LONGEST_TERM}"
        )
    if any(unicodedata.category(one) in ("Cc", "Cs") and one != "\t" for one in text):
        raise InvalidSearchError(
            "the text to search for must not have line breaks or other control characters: only "
            "text within one line is found"
        )


def fold(character: str) -> str:
    """What is the same for all characters that differ in case only."""
    for folded in (character.casefold(), character.lower()):
        if len(folded) == 1:
            return folded
    return character


@lru_cache(maxsize=1)
def _folded() -> dict[str, list[str]]:
    """By what they fold to, the characters that fold to another one."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for code in range(_LAST_CASED + 1):
        if (folded := fold(chr(code))) != chr(code):
            found[folded].append(chr(code))
    return found


def _variants(character: str) -> tuple[str, ...]:
    folded = fold(character)
    return (folded, *_folded().get(folded, ()))


def _odd(variants: list[bytes]) -> list[bytes]:
    beyond = [one for one in variants if not one.isascii()]
    return beyond if len(beyond) < len(variants) else []


def _spellings(groups: list[list[bytes]]) -> list[bytes]:
    """All ways to write a term, but for those with something odd, in what `bytes.lower` makes of a
    log; nothing when there are many.
    """
    ways = [{one.lower() for one in group if one not in _odd(group)} for group in groups]
    if prod(map(len, ways)) > _MOST_SPELLINGS:
        return []
    return [b"".join(one) for one in product(*ways)]


def _any_of(variants: list[bytes]) -> bytes:
    return b"(?:%s)" % b"|".join(map(re.escape, variants))
