"""The catalogue of an atlas: which cells there are, and by which names people ask for them."""

import csv
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

CELL_TYPE = "cell_type"
PERTURBATION = "perturbation"

_GREEK = str.maketrans(
    {"α": " alpha ", "β": " beta ", "γ": " gamma ", "δ": " delta ", "κ": " kappa "}
)


@dataclass(frozen=True)
class Entry:
    """Cells that have everything in common: a row of cells.csv."""

    dataset: str
    cell_type: str
    cell_type_id: str
    perturbation: str
    perturbation_type: str
    is_control: bool
    tissue: str
    donor: str
    disease: str
    condition: str
    count: int


@dataclass(frozen=True)
class Name:
    """A name that may occur in a query, as words, and what it stands for."""

    words: tuple[str, ...]
    entity_type: str
    canonical: str


@dataclass(frozen=True)
class Catalogue:
    """Both files, read."""

    entries: tuple[Entry, ...]
    names: tuple[Name, ...]
    """The longest first."""

    def cell_types(self) -> list[str]:
        """Their names, sorted."""
        return sorted({entry.cell_type for entry in self.entries})

    def treatments(self) -> list[str]:
        """Perturbations that are no controls, sorted."""
        return sorted({entry.perturbation for entry in self.entries if not entry.is_control})

    def treated(self, perturbation: str) -> dict[str, int]:
        """How many cells of each type have this perturbation."""
        found: dict[str, int] = {}
        for entry in self.entries:
            if entry.perturbation == perturbation:
                found[entry.cell_type] = found.get(entry.cell_type, 0) + entry.count
        return found

    def cl_id(self, cell_type: str) -> str:
        """The cell type's term in the Cell Ontology."""
        return next(e.cell_type_id for e in self.entries if e.cell_type == cell_type)


def read_catalogue(directory: Path) -> Catalogue:
    """Read cells.csv and synonyms.csv.

    Raises:
        OSError: a file cannot be read.
        KeyError, ValueError: a column is missing, or a count is no integer.
    """
    entries = tuple(_entry(row) for row in _rows(directory / "cells.csv"))
    names = {_name(entry.cell_type, CELL_TYPE, entry.cell_type) for entry in entries}
    names |= {_name(entry.perturbation, PERTURBATION, entry.perturbation) for entry in entries}
    for row in _rows(directory / "synonyms.csv"):
        names.add(_name(row["synonym"], row["entity_type"], row["canonical_name"]))
    return Catalogue(entries, _longest_first(names))


def words(text: str) -> tuple[str, ...]:
    """The words of a text as names are compared: without case, accents, punctuation and plurals,
    Greek letters spelled out, letters and digits apart. "IFN-β1s" has ifn, beta and 1.
    """
    plain = unicodedata.normalize("NFKC", text).casefold().translate(_GREEK)
    found = re.findall(r"\d+|[^\W\d_]+", plain)
    return tuple(_singular(word) for word in found)


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def _name(text: str, entity_type: str, canonical: str) -> Name:
    return Name(words(text), entity_type, canonical)


def _longest_first(names: Iterable[Name]) -> tuple[Name, ...]:
    return tuple(sorted(names, key=lambda name: (-len(name.words), name.words, name.canonical)))


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _entry(row: dict[str, str]) -> Entry:
    return Entry(
        row["dataset"],
        row["cell_type_name"],
        row["cell_type_cl_id"],
        row["perturbation_name"],
        row["perturbation_type"],
        row["is_control"] == "true",
        row["tissue"],
        row["donor"],
        row["disease"],
        row["condition"],
        int(row["count"]),
    )
