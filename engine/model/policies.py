"""The portfolio: one row a policy."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.errors import ModelError, Problems
from engine.numbers.arrays import AnyArray, Floats, Words
from engine.tables.columns import Choice, Identifier, Number, Schema, Text
from engine.tables.key_check import with_keys
from engine.tables.table import Categories, Table, joined, read_table

MAX_AGE = 120
MAX_TERM = 1000
MAX_AMOUNT = 1e15

GENDER = Choice(
    ("Male", "Female"),
    {"m": 0, "f": 1, "male": 0, "female": 1, "0": 0, "1": 1},
    any_case=True,
)
CLASSES = ("Standard", "Smoker", "NonSmoker", "Preferred", "Substandard")
SCHEMA = Schema(
    {
        "policy_id": Identifier(),
        "age": Number(0, MAX_AGE, whole=True, dtype=np.int16),
        "gender": GENDER,
        "sum_assured": Number(0, MAX_AMOUNT),
        "premium": Number(0, MAX_AMOUNT),
        "term": Number(1, MAX_TERM, whole=True, dtype=np.int16),
        "product_type": Choice(("Term", "WholeLife", "Endowment"), any_case=True),
        "underwriting_class": Choice(CLASSES),
    },
    extras=Text(),
    optional=frozenset({"underwriting_class"}),
)
HASH_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Policies:
    """Arrays of shape (policies,), read-only. Amounts are in one currency unit, per year.

    `gender` is 0 for male and 1 for female, `age` the age at the start in years, `term` in years.
    `attributes` holds every column of words: gender, product type, underwriting class, and the
    file's own.
    """

    policy_id: AnyArray
    age: AnyArray
    gender: AnyArray
    sum_assured: Floats
    premium: Floats
    term: AnyArray
    attributes: dict[str, Categories]

    def __len__(self) -> int:
        return len(self.age)

    def __getitem__(self, where: slice | AnyArray) -> "Policies":
        """Some of the policies, in the same order."""
        attributes = {name: column[where] for name, column in self.attributes.items()}
        return Policies(
            _part(self.policy_id, where),
            _part(self.age, where),
            _part(self.gender, where),
            _part(self.sum_assured, where),
            _part(self.premium, where),
            _part(self.term, where),
            attributes,
        )

    def words(self, attribute: str) -> AnyArray:
        """An attribute's word for each policy, as an array of objects."""
        return self.attributes[attribute].words()

    def are(self, product: str) -> AnyArray:
        """Which policies are of a product type, as truth values."""
        column = self.attributes["product_type"]
        return np.asarray(column.codes == column.labels.index(product))

    @property
    def product_type(self) -> AnyArray:
        """The words Term, WholeLife or Endowment."""
        return self.words("product_type")

    @property
    def underwriting_class(self) -> AnyArray:
        """The words Standard, Smoker, NonSmoker, Preferred or Substandard."""
        return self.words("underwriting_class")


def load_policies(files: Sequence[tuple[Path, str]], *, threads: int = 1) -> Policies:
    """Read one or more files, in this order; each has a header, and the same columns.

    Raises:
        ModelError: mistakes of every file, the first 20 of each.
    """
    tables, errors = [], []
    for path, name in files:
        try:
            tables.append(read_table(path, name, SCHEMA, threads=threads))
        except ModelError as error:
            errors.append(with_keys(error, path, ("policy_id",)))
    if errors:
        problems = [problem for error in errors for problem in error.problems]
        raise ModelError(problems, sum(error.more for error in errors))
    names = [name for _, name in files]
    _check_columns(tables, names)
    table = joined(tables) if len(tables) > 1 else tables[0]
    _check_unique(table.array("policy_id"), [len(part) for part in tables], names)
    return _policies(table)


def _part(array: AnyArray, where: slice | AnyArray) -> AnyArray:
    """Read-only, also where it is a copy: hooks see it."""
    part: AnyArray = array[where]
    part.flags.writeable = False
    return part


def _policies(table: Table) -> Policies:
    words = [name for name, column in table.columns.items() if isinstance(column, Categories)]
    numbers = ("policy_id", "age", "gender", "sum_assured", "premium", "term")
    arrays = {name: table.array(name) for name in numbers}
    for array in arrays.values():
        array.flags.writeable = False
    attributes = {name: table.categories(name) for name in words}
    standard = Categories(np.zeros(len(table), np.int8), CLASSES)
    attributes.setdefault("underwriting_class", standard)
    return Policies(**arrays, attributes=attributes)


def _check_columns(tables: Sequence[Table], names: Sequence[str]) -> None:
    first = set(tables[0].columns)
    for table, name in zip(tables[1:], names[1:], strict=True):
        problems = Problems(name)
        for column in sorted(first ^ set(table.columns)):
            missing = "is missing" if column in first else f"is not in {names[0]}"
            problems.add(f"column {missing}", row=1, column=column)
        problems.raise_if_any()


def _check_unique(ids: AnyArray, lengths: Sequence[int], names: Sequence[str]) -> None:
    """Raise for ids that come twice, compared as bytes.

    A 64-bit hash finds the few candidates among which an exact comparison is worth its time.
    """
    hashes = _hashes(ids)
    ordered = np.sort(hashes)
    repeated = ordered[1:][ordered[1:] == ordered[:-1]]
    if not len(repeated):
        return
    problems = {name: Problems(name) for name in names}
    ends = np.cumsum(lengths)
    first: dict[bytes, str] = {}
    for row in np.flatnonzero(np.isin(hashes, repeated)).tolist():
        file = int(np.searchsorted(ends, row, side="right"))
        line = row - (int(ends[file - 1]) if file else 0) + 2
        key = bytes(ids[row])
        where = first.setdefault(key, f"{names[file]}, row {line}")
        if where != f"{names[file]}, row {line}":
            reason = f"is a duplicate id: it is also in {where}"
            problems[names[file]].add(reason, row=line, column="policy_id", value=key.decode())
    for found in problems.values():
        found.raise_if_any()


def _hashes(ids: AnyArray) -> Words:
    width = -(-ids.dtype.itemsize // 8) * 8
    words = np.ascontiguousarray(ids.astype(f"S{width}")).view("<u8").reshape(len(ids), -1)
    key = np.zeros(len(ids), np.uint64)
    for place in range(words.shape[1]):
        key = (key ^ words[:, place]) * HASH_MULTIPLIER
        key ^= key >> np.uint64(29)
    return key
