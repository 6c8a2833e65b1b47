"""Mortality, lapses and expenses."""

import bisect
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.errors import ModelError, Problems
from engine.horizon import YEARS
from engine.model.policies import MAX_AGE
from engine.model.settings import Section
from engine.numbers.arrays import Floats
from engine.tables.columns import Identifier, Number, Schema
from engine.tables.key_check import MISSING, with_keys
from engine.tables.table import Table, read_table

EXPENSE_LIMITS = {
    "per_policy_acquisition": 1e12,
    "per_policy_maintenance": 1e12,
    "percent_of_premium": 1.0,
    "claim_expense": 1e12,
}
JSON_EXPENSES = ("perPolicyAcquisition", "perPolicyMaintenance", "percentOfPremium", "perClaim")
MORTALITY = Schema(
    {
        "age": Number(0, MAX_AGE, whole=True, dtype=np.int64),
        "male_qx": Number(0, 1),
        "female_qx": Number(0, 1),
    },
    aliases={"male": "male_qx", "female": "female_qx"},
)
LAPSE = Schema(
    {"year": Number(1, YEARS, whole=True, dtype=np.int64), "lapse_rate": Number(0, 1)},
    aliases={"rate": "lapse_rate"},
)
EXPENSES = Schema({"name": Identifier(), "value": Number(0, 1e12)})


@dataclass(frozen=True)
class Expenses:
    """Amounts per policy in currency units, and a share of the premium (0.06 is 6 %)."""

    acquisition: float
    maintenance: float
    percent_of_premium: float
    claim: float


@dataclass(frozen=True)
class Assumptions:
    """`mortality`: qx of shape (2, 121), male first; `lapse`: shape (50,), year 1 first."""

    mortality: Floats
    lapse: Floats
    expenses: Expenses


def load_mortality(path: Path, name: str, interpolate: str | None = None) -> Floats:
    """Yearly death probabilities by gender and age, shape (2, 121).

    Raises:
        ModelError: mistakes, an age that is there twice, or a missing one without `interpolate`.
    """
    ages = range(MAX_AGE + 1)
    table = _read(path, name, MORTALITY, "age", () if interpolate else ages)
    rows = _rows(table, name, "age", () if interpolate else ages)
    columns = [table.array(column).tolist() for column in ("male_qx", "female_qx")]
    return np.array([filled(rows, column, ages, interpolate) for column in columns])


def load_lapse(path: Path, name: str, interpolate: str | None = None) -> Floats:
    """Yearly lapse rates by policy year, shape (50,).

    Raises:
        ModelError: mistakes, a year that is there twice, or a missing one without `interpolate`.
    """
    years = range(1, YEARS + 1)
    table = _read(path, name, LAPSE, "year", () if interpolate else years)
    rows = _rows(table, name, "year", () if interpolate else years)
    return np.array(filled(rows, table.array("lapse_rate").tolist(), years, interpolate))


def filled(
    rows: Mapping[int, int], values: Sequence[float], wanted: Sequence[int], interpolate: str | None
) -> list[float]:
    """A value for each wanted key; `rows` says where in `values` the known keys' are.

    Between known keys values are on a line ("linear"), or those of the key before ("step");
    before the first and after the last they are those of the first and the last.
    """
    known = sorted(rows)
    result = []
    for key in wanted:
        place = bisect.bisect_right(known, key)
        before, after = known[max(place - 1, 0)], known[min(place, len(known) - 1)]
        value = values[rows[before]]
        if interpolate == "linear" and before < key < after:
            value += (values[rows[after]] - value) * ((key - before) / (after - before))
        result.append(value)
    return result


def load_expenses(path: Path, name: str) -> Expenses:
    """The four expense parameters, from a table or from JSON.

    Raises:
        ModelError: one is missing, unknown or out of range, or it is not JSON.
    """
    if path.suffix.lower() == ".json":
        return _json_expenses(path, name)
    table = _read(path, name, EXPENSES, "name")
    problems = Problems(name)
    found: dict[str, float] = {}
    entries = zip(table.array("name").tolist(), table.array("value").tolist(), strict=True)
    for row, (key, value) in enumerate(entries, 2):
        word = key.decode()
        if word not in EXPENSE_LIMITS:
            known = ", ".join(EXPENSE_LIMITS)
            problems.add(f"is not one of {known}", row=row, column="name", value=word)
        elif word in found:
            problems.add("appears twice", row=row, column="name", value=word)
        elif value > EXPENSE_LIMITS[word]:
            limit = f"is out of range: at most {EXPENSE_LIMITS[word]:g}"
            problems.add(limit, row=row, column="value", value=value)
        found[word] = value
    for word in EXPENSE_LIMITS:
        if word not in found:
            problems.add("is missing", column="name", value=word)
    problems.raise_if_any()
    return Expenses(*(found[word] for word in EXPENSE_LIMITS))


def _read(path: Path, name: str, schema: Schema, key: str, wanted: Sequence[int] = ()) -> Table:
    try:
        return read_table(path, name, schema)
    except ModelError as error:
        raise with_keys(error, path, (key,), wanted) from error


def _json_expenses(path: Path, name: str) -> Expenses:
    """An object with the four numbers, by the names that the desktop extension gives them."""
    problems = Problems(name)
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        problems.add(f"cannot be read: {error}")
        problems.raise_if_any()
    section = Section(document, "", problems)
    limits = zip(JSON_EXPENSES, EXPENSE_LIMITS.values(), strict=True)
    numbers = [section.number(key, 0.0, 0.0, high, required=True) for key, high in limits]
    section.nothing_else()
    problems.raise_if_any()
    return Expenses(*numbers)


def _rows(table: Table, name: str, key: str, wanted: Sequence[int]) -> dict[int, int]:
    """The row of each key, which is there once, and of all the wanted ones."""
    problems = Problems(name)
    rows: dict[int, int] = {}
    for row, value in enumerate(table.array(key).tolist()):
        if value in rows:
            where = f"appears twice, also in row {rows[value] + 2}"
            problems.add(where, row=row + 2, column=key, value=value)
        rows.setdefault(value, row)
    for value in wanted:
        if value not in rows:
            problems.add(MISSING, column=key, value=value)
    problems.raise_if_any()
    return rows
