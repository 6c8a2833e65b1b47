"""The metadata catalogue, split by who uses it.

Its two tables, cells and synonyms, are replaced as a whole, each with what is derived from it.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Protocol

from ci_common.catalogue import CellGroup, EntityType, Synonym


@dataclass(frozen=True, slots=True)
class PerturbationTotal:
    """A perturbation, controls included, in the datasets that were asked for."""

    perturbation_name: str
    perturbation_type: str
    datasets_present: tuple[str, ...]
    """Sorted, as all lists of names here."""
    total_cells: int
    cell_types_present: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CellTypeTotal:
    """A cell type in the datasets that were asked for."""

    cell_type_cl_id: str
    cell_type_name: str
    datasets_present: tuple[str, ...]
    total_cells: int
    perturbations_present: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KnownName:
    """A name that a query may use, as words, and what it stands for."""

    words: tuple[str, ...]
    entity_type: EntityType
    canonical_name: str
    is_synonym: bool


@dataclass(frozen=True, slots=True)
class TreatedCells:
    """Cells with a perturbation that are no controls, by what controls are matched by."""

    cell_type_name: str
    dataset: str
    tissue: str
    donor: str
    count: int


@dataclass(frozen=True, slots=True)
class ControlCells:
    """Controls of one cell type."""

    dataset: str
    tissue: str
    donor: str
    condition: str
    count: int


class CatalogueReader(Protocol):
    """The server's side."""

    async def datasets(self) -> list[str]:
        """The names of all datasets, sorted; empty when no cells were imported."""

    async def perturbations(
        self, dataset: str | None = None, perturbation_type: str | None = None
    ) -> list[PerturbationTotal]:
        """Those with the most cells first, then by name and type."""

    async def cell_types(self, dataset: str | None = None) -> list[CellTypeTotal]:
        """Those with the most cells first, then by name and id."""

    async def names_beginning_with(self, words: Collection[str]) -> list[KnownName]:
        """The names whose first word is one of these. Synonyms of what no cells have are none."""

    async def names_sharing(
        self, words: Collection[str], entity_type: EntityType, most: int
    ) -> list[KnownName]:
        """Up to `most` names of this kind that have any of these words, the best match first."""

    async def treatments_among(self, perturbations: Collection[str]) -> set[str]:
        """Those that some cells have that are no controls."""

    async def treated(self, perturbation: str) -> list[TreatedCells]:
        """The cells with a perturbation, except controls."""

    async def controls(self, cell_type: str, control_names: Collection[str]) -> list[ControlCells]:
        """The cells of a type that are marked as controls, or whose perturbation has one of these
        names; upper and lower case are the same.
        """


@dataclass(frozen=True, slots=True)
class DatasetTotal:
    """What the catalogue has of a dataset."""

    dataset: str
    rows: int
    """Of cells.csv: groups of cells."""
    cells: int
    cell_types: int
    perturbations: int
    donors: int


@dataclass(frozen=True, slots=True)
class CatalogueContents:
    """What there is."""

    datasets: tuple[DatasetTotal, ...]
    """By name."""
    synonyms: int
    unused_synonyms: tuple[Synonym, ...]
    """Some of those that stand for what no cells have, so that nothing is found by them."""
    unused_synonym_count: int


class CatalogueDraft(Protocol):
    """New tables before they replace those in use. It may be larger than memory."""

    def add(self, row: int, entry: CellGroup | Synonym) -> int | None:
        """Add a row; or return the number of an earlier row that has the same key, and add
        nothing. The key of a group is all of it but `count`, that of a synonym all of it.

        Raises DatabaseError when there is no room for it.
        """

    def groups(self) -> Iterator[CellGroup] | None:
        """In the order of the table's key; `None` when none were added."""

    def synonyms(self) -> Iterator[Synonym] | None:
        """The same of synonyms."""


class CatalogueKeeper(Protocol):
    """The operator's side."""

    async def replace(self, draft: CatalogueDraft) -> None:
        """Replace the tables that the draft has rows for, at once. The draft is read by another
        thread. Raises DatabaseError.
        """

    async def contents(self) -> CatalogueContents:
        """What there is now."""
