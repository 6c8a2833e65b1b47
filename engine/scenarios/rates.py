"""Interest rates by scenario and year, from a file or from a generator, block by block."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from engine.errors import LIMIT, ModelError, Problems
from engine.horizon import YEARS
from engine.numbers.arrays import Floats
from engine.tables.columns import Identifier, Number, Schema
from engine.tables.key_check import with_keys
from engine.tables.rows import HEADER_ROW
from engine.tables.table import Table, read_table

RATE = Number(-1, above_low=True)
WIDE_YEARS = tuple(f"year_{year}" for year in range(1, YEARS + 1))
WIDE = Schema({"scenario_id": Identifier()} | dict.fromkeys(WIDE_YEARS, RATE))
LONG = Schema(
    {
        "scenario_id": Identifier(),
        "year": Number(1, YEARS, whole=True, dtype=np.int64),
        "rate": RATE,
    }
)


class Rates(Protocol):
    """Where rates come from.

    `block` gives yearly rates as fractions (0.03 is 3 %) of the scenarios from `start` to before
    `stop`, shape (stop - start, 50), and may be called from several threads at once. The same
    scenario has the same rates in whatever block it is asked for.
    """

    @property
    def count(self) -> int:
        """How many scenarios there are."""
        ...

    def block(self, start: int, stop: int) -> Floats:
        """The rates of some scenarios."""
        ...


class GivenRates:
    """Rates that are in memory."""

    def __init__(self, rates: Floats) -> None:
        self._rates = rates

    @property
    def count(self) -> int:
        """How many scenarios there are."""
        return len(self._rates)

    def block(self, start: int, stop: int) -> Floats:
        """The rates of some scenarios."""
        return self._rates[start:stop]


def load_rates(path: Path, name: str, *, threads: int = 1) -> Floats:
    """Scenarios of a wide or long file in the order they first appear; shape (scenarios, 50).

    Raises:
        ModelError: mistakes, a scenario that is there twice, a year that is missing.
    """
    try:
        table = read_table(path, name, WIDE, threads=threads)
    except ModelError as error:
        if not _looks_long(error):
            raise with_keys(error, path, ("scenario_id",)) from error
        return _from_long(_read_long(path, name, threads), name)
    _check_unique(table, name)
    return np.stack([table.array(year) for year in WIDE_YEARS], axis=1)


def _looks_long(error: ModelError) -> bool:
    """Whether the header has none of a wide table's years; only so many mistakes are told."""
    missing = {problem.column for problem in error.problems if problem.row == HEADER_ROW}
    return missing.issuperset(WIDE_YEARS[: LIMIT - 1])


def _read_long(path: Path, name: str, threads: int) -> Table:
    try:
        return read_table(path, name, LONG, threads=threads)
    except ModelError as error:
        raise with_keys(error, path, ("scenario_id", "year")) from error


def _check_unique(table: Table, name: str) -> None:
    problems = Problems(name)
    rows: dict[bytes, int] = {}
    for row, key in enumerate(table.array("scenario_id").tolist(), 2):
        if key in rows:
            reason = f"is a duplicate id: it is also in row {rows[key]}"
            problems.add(reason, row=row, column="scenario_id", value=key.decode())
        rows.setdefault(key, row)
    problems.raise_if_any()


def _from_long(table: Table, name: str) -> Floats:
    places: dict[bytes, int] = {}
    ids: Sequence[bytes] = table.array("scenario_id").tolist()
    scenario = np.array([places.setdefault(key, len(places)) for key in ids])
    cell = scenario * YEARS + table.array("year") - 1
    counts = np.bincount(cell, minlength=len(places) * YEARS)
    if (counts != 1).any():
        _report_years(cell.tolist(), counts.tolist(), list(places), name)
    rates = np.empty(len(places) * YEARS)
    rates[cell] = table.array("rate")
    return rates.reshape(-1, YEARS)


def _report_years(cells: list[int], counts: list[int], ids: list[bytes], name: str) -> None:
    problems = Problems(name)
    seen: set[int] = set()
    for row, cell in enumerate(cells, 2):
        if cell in seen:
            year, scenario = cell % YEARS + 1, ids[cell // YEARS].decode()
            reason = f"appears twice in scenario {scenario!r}"
            problems.add(reason, row=row, column="year", value=year)
        seen.add(cell)
    for cell, count in enumerate(counts):
        if not count:
            scenario = ids[cell // YEARS].decode()
            reason = f"is missing in scenario {scenario!r}"
            problems.add(reason, column="year", value=cell % YEARS + 1)
    problems.raise_if_any()
