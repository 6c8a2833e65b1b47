"""What coverage reports say of each file of source."""

from dataclasses import dataclass

MOST_FILES = 1000
"""Of a job; those with the most lines that were not run."""

LONGEST_PATH = 200
"""Of longer ones, the end."""


@dataclass(frozen=True, slots=True)
class FileCoverage:
    """Of one file."""

    path: str
    """As the reports name it."""
    lines_covered: int
    lines_total: int
    branches_covered: int = 0
    branches_total: int = 0


@dataclass(frozen=True, slots=True)
class CoverageFiles:
    """Of a job's files."""

    files: tuple[FileCoverage, ...]
    """At most MOST_FILES, those with the most lines that were not run first."""
    total: int
    """How many there are."""
