"""The kinds of column a table can have, and how one field of each kind is read with care.

`parse` takes a field's text and raises `ValueError` with the reason when it is not acceptable.
The vectorised readers accept a subset of what `parse` accepts and give the same values.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from engine.numbers.arrays import AnyArray

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
MAX_TEXT_BYTES = 256


@dataclass(frozen=True)
class Number:
    """A finite decimal number from `low` to `high`; `whole` if it has to be an integer."""

    low: float
    high: float = math.inf
    whole: bool = False
    above_low: bool = False
    dtype: type[np.generic] = np.float64

    def parse(self, text: str) -> float:
        """The number that the text means, correctly rounded."""
        text = text.strip()
        if not text:
            raise ValueError("is empty: a number is required")
        if not NUMBER.fullmatch(text):
            raise ValueError("is not a number")
        return self.check(float(text))

    def check(self, value: float) -> float:
        """The value itself when it is in range."""
        if not math.isfinite(value):
            raise ValueError("is not a finite number")
        if self.whole and value != math.floor(value):
            raise ValueError("is not an integer")
        above = value > self.low if self.above_low else value >= self.low
        if not above or value > self.high:
            raise ValueError(f"is out of range: {self.describe()}")
        return value

    def accepts(self, values: AnyArray) -> AnyArray:
        """Elementwise, what `check` says of a value's range; whole numbers are not asked for."""
        above = values > self.low if self.above_low else values >= self.low
        return np.asarray(above & (values <= self.high) & (values < math.inf))

    def describe(self) -> str:
        """The range in words."""
        low = f"above {self.low:g}" if self.above_low else f"at least {self.low:g}"
        return low if self.high == math.inf else f"{low} and at most {self.high:g}"


@dataclass(frozen=True)
class Choice:
    """One of a few words; the value is the word's place in `labels`."""

    labels: tuple[str, ...]
    spellings: Mapping[str, int] = field(default_factory=dict)
    any_case: bool = False

    def parse(self, text: str) -> int:
        """The place of the label that the text spells."""
        text = text.strip()
        found = self.all_spellings.get(text.lower() if self.any_case else text)
        if found is None:
            raise ValueError(f"is not one of {', '.join(self.spellings or self.labels)}")
        return found

    @property
    def all_spellings(self) -> Mapping[str, int]:
        """What may be written, and what it means."""
        labels = map(str.lower, self.labels) if self.any_case else self.labels
        return self.spellings or {label: code for code, label in enumerate(labels)}


@dataclass(frozen=True)
class Text:
    """Any text of at most 256 bytes; a policy's own attribute."""

    may_be_empty: bool = True

    def parse(self, text: str) -> str:
        """The text as it stands."""
        if not text and not self.may_be_empty:
            raise ValueError("is empty")
        if len(text.encode()) > MAX_TEXT_BYTES:
            raise ValueError(f"is longer than {MAX_TEXT_BYTES} bytes")
        if any(ord(character) < 32 for character in text):
            raise ValueError("contains control characters")
        return text


@dataclass(frozen=True)
class Identifier(Text):
    """A text that no two rows may share."""

    may_be_empty: bool = False


Column = Number | Choice | Text


@dataclass(frozen=True)
class Schema:
    """A table's columns by name, in any order; `extras` is the kind of those not named, if any.

    Those in `optional` may be missing; `aliases` are other names of columns.
    """

    columns: Mapping[str, Column]
    extras: Column | None = None
    optional: frozenset[str] = frozenset()
    aliases: Mapping[str, str] = field(default_factory=dict)

    def own_names(self, names: Sequence[str]) -> list[str]:
        """Names of a file's columns, with this schema's in place of aliases."""
        return [self.aliases.get(name, name) for name in names]

    def kind(self, name: str) -> Column | None:
        """The kind of a column, None for one that may not be there."""
        return self.columns.get(name, self.extras)
