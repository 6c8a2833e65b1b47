"""Reading decoded TOML or JSON with care: every key is known, every value is checked."""

import sys
from typing import Any

from engine.errors import Problems


class Section:
    """One table of the description: takes what is known, notes what is wrong or unknown."""

    def __init__(self, content: Any, name: str, problems: Problems) -> None:
        self.problems = problems
        self._name = name
        self._left: dict[str, Any] = dict(content) if isinstance(content, dict) else {}
        self.empty = not self._left
        if not isinstance(content, dict):
            problems.add("is not a section of settings", column=name or None, value=content)

    def note(self, key: str, reason: str, value: object | None = None) -> None:
        """Note a mistake at a key."""
        self.problems.add(reason, column=self._path(key), value=value)

    def take(self, key: str, *, required: bool = False) -> Any:
        """A value as it stands, None if it is not there."""
        value = self._left.pop(key, None)
        if required and value is None:
            self.note(key, "is missing")
        return value

    def section(self, key: str, *, required: bool = False) -> "Section":
        """A table inside this one; empty when it is not there."""
        value = self.take(key, required=required)
        return Section({} if value is None else value, self._path(key), self.problems)

    def text(self, key: str, *, required: bool = False) -> str | None:
        """A text that is not empty."""
        value = self.take(key, required=required)
        if value is None or (isinstance(value, str) and value):
            return value
        self.note(key, "is not a string", value)
        return None

    def texts(self, key: str, *, required: bool = False) -> tuple[str, ...]:
        """A text, or a list of them."""
        value = self.take(key, required=required)
        values = value if isinstance(value, list) else [] if value is None else [value]
        if not all(isinstance(entry, str) and entry for entry in values) or value == []:
            self.note(key, "is not a string or a list of strings", value)
            return ()
        return tuple(values)

    def choice(self, key: str, known: tuple[str, ...], *, required: bool = False) -> str | None:
        """One of a few words."""
        value = self.take(key, required=required)
        if isinstance(value, str) and value in known:
            return value
        if value is not None:
            self.note(key, f"is not one of {', '.join(known)}", value)
        return None

    def flag(self, key: str, default: bool) -> bool:
        """True or false."""
        value = self.take(key)
        if value is None or isinstance(value, bool):
            return default if value is None else value
        self.note(key, "is not true or false", value)
        return default

    def number(
        self, key: str, default: float, low: float, high: float, *, required: bool = False
    ) -> float:
        """A finite number in a range."""
        value = self.take(key, required=required)
        if value is None:
            return default
        if not is_number(value) or not low <= value <= high:
            self.note(key, f"is not a number from {low:g} to {high:g}", value)
            return default
        return float(value)

    def whole(self, key: str, default: int | None, low: int, high: int) -> int | None:
        """A whole number in a range."""
        value = self.take(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            self.note(key, f"is not an integer from {low} to {high}", value)
            return default
        return value

    def nothing_else(self) -> None:
        """Note every key that nobody took."""
        for key in self._left:
            self.note(key, "unknown setting")

    def _path(self, key: str) -> str:
        return f"{self._name}.{key}" if self._name else key


def is_number(value: object) -> bool:
    """Whether it is a finite number, and not a truth value."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return abs(value) <= sys.float_info.max  # whole numbers may be too large for a double
