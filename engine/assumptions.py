"""Mortality, lapses and expenses."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.arrays import Floats
from engine.columns import Identifier, Number, Schema
from engine.errors import ModelError, Problems
from engine.key_check import with_keys
from engine.policies import MAX_AGE
from engine.table import Table, read_table

YEARS = 50
EXPENSE_LIMITS = {
    "per_policy_acquisition": 1e12,
    "per_policy_maintenance": 1e12,
    "percent_of_premium": 1.0,
    "claim_expense": 1e12,
}
MORTALITY = Schema(
    {
        "age": Number(0, MAX_AGE, whole=True, dtype=np.int64),
        "male_qx": Number(0, 1),
        "female_qx": Number(0, 1),
    }
)
LAPSE = Schema({"year": Number(1, YEARS, whole=True, dtype=np.int64), "lapse_rate": Number(0, 1)})
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


def load_mortality(path: Path, name: str) -> Floats:
    """Yearly death probabilities by gender and age, shape (2, 121)."""
    table = _read(path, name, MORTALITY, "age", range(MAX_AGE + 1))
    order = _complete(table, name, "age", 0, MAX_AGE)
    return np.stack([table.array("male_qx")[order], table.array("female_qx")[order]])


def load_lapse(path: Path, name: str) -> Floats:
    """Yearly lapse rates by policy year, shape (50,)."""
    table = _read(path, name, LAPSE, "year", range(1, YEARS + 1))
    return np.asarray(table.array("lapse_rate")[_complete(table, name, "year", 1, YEARS)])


def load_expenses(path: Path, name: str) -> Expenses:
    """The four expense parameters."""
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
            problems.add("is there twice", row=row, column="name", value=word)
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


def _complete(table: Table, name: str, key: str, low: int, high: int) -> list[int]:
    """The rows in the order of their keys, every one of which is there once."""
    problems = Problems(name)
    rows: dict[int, int] = {}
    for row, value in enumerate(table.array(key).tolist()):
        if value in rows:
            where = f"is there twice, also in row {rows[value] + 2}"
            problems.add(where, row=row + 2, column=key, value=value)
        rows.setdefault(value, row)
    for value in range(low, high + 1):
        if value not in rows:
            problems.add("is missing", column=key, value=value)
    problems.raise_if_any()
    return [rows[value] for value in range(low, high + 1)]
