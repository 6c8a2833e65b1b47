"""What can go wrong in the engine, and what the command exits with.

EngineError (3)
├── ModelError (1): the model, or a file of it, is not as it should be
├── RequestError (2): the caller asked for something that cannot be had
└── HookError (3): the model's own Python code failed
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

LIMIT = 20
KINDS = {".toml": "setting", ".json": "setting", ".py": "function"}


class EngineError(Exception):
    """The calculation could not be done."""

    code = "engine_error"
    exit_code = 3


@dataclass(frozen=True)
class Problem:
    """One mistake in one place of a file. Row 1 is the header, as in a spreadsheet.

    In a file that is no table, `column` is the name of a setting, or of a function.
    """

    file: str
    reason: str
    row: int | None = None
    column: str | None = None
    value: str | None = None

    def __str__(self) -> str:
        place = [self.file]
        place += [f"row {self.row}"] if self.row is not None else []
        place += [f"{self._kind} {self.column}"] if self.column is not None else []
        value = "" if self.value is None else f"{_shortened(self.value)!r} "
        return f"{', '.join(place)}: {value}{self.reason}"

    @property
    def _kind(self) -> str:
        return "column" if self.row else KINDS.get(PurePath(self.file).suffix.lower(), "column")


class ModelError(EngineError):
    """The model is not valid; `problems` says where, `more` how many are not listed."""

    code = "invalid_model"
    exit_code = 1

    def __init__(self, problems: Sequence[Problem], more: int = 0) -> None:
        self.problems = tuple(problems)
        self.more = more
        lines = [str(problem) for problem in self.problems]
        if more:
            lines.append(f"… and {more} more")
        super().__init__("\n".join(lines))


class RequestError(EngineError):
    """What was asked for does not fit the model or this machine."""

    code = "invalid_request"
    exit_code = 2


class HookError(EngineError):
    """A hook raised, or returned something that is not a multiplier; the text is its traceback."""

    code = "hook_failed"
    exit_code = 3


class Problems:
    """Collects the mistakes of one file, keeps the first 20 by row, and counts the rest."""

    def __init__(self, file: str, limit: int = LIMIT) -> None:
        self.file = file
        self._limit = limit
        self._found: list[Problem] = []
        self._count = 0

    def add(
        self,
        reason: str,
        *,
        row: int | None = None,
        column: str | None = None,
        value: object | None = None,
    ) -> None:
        """Note one mistake."""
        self._count += 1
        if len(self._found) < self._limit:
            text = None if value is None else str(value)
            self._found.append(Problem(self.file, reason, row, column, text))

    def extend(self, other: "Problems | ModelError") -> None:
        """Add what another collector, or the error made of it, has noted."""
        found = other.problems if isinstance(other, ModelError) else other._found
        more = other.more if isinstance(other, ModelError) else other._count - len(found)
        self._found.extend(found[: max(0, self._limit - len(self._found))])
        self._count += len(found) + more

    def __bool__(self) -> bool:
        return self._count > 0

    def error(self) -> ModelError:
        """What was found: the first problems, and how many more there are."""
        return ModelError(self._found, self._count - len(self._found))

    def raise_if_any(self) -> None:
        """Raise what was found, if anything was.

        Raises:
            ModelError: with the first problems.
        """
        if self._count:
            raise self.error()


def _shortened(value: str, width: int = 60) -> str:
    return value if len(value) <= width else value[: width - 1] + "…"
