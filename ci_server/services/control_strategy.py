"""Which control strategy a query can have: whether there are control cells that match."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum

from ci_common.ports.catalogue import CatalogueReader, ControlCells
from ci_server.services.query_subject import QueryReader, QuerySubject

FEW_CELLS = 20
"""A synthetic control made of fewer is mostly noise."""


class ControlStrategy(StrEnum):
    """Where the control of a predicted response comes from."""

    SYNTHETIC = "synthetic_control"
    """From control cells that match the treated ones."""
    QUERY = "query_as_control"
    """The untreated query cells themselves."""


@dataclass(frozen=True, slots=True)
class ControlAssessment:
    """What the catalogue says of a query."""

    synthetic_control_available: bool
    control_cells_found: int
    control_donors: list[str]
    """Sorted, as the conditions."""
    control_conditions: list[str]
    recommendation: str
    warning: str | None
    effective: ControlStrategy | None
    """The strategy that the run will have; `None` when no catalogue was imported."""


_UNKNOWN = ControlAssessment(
    synthetic_control_available=False,
    control_cells_found=0,
    control_donors=[],
    control_conditions=[],
    recommendation=f"{ControlStrategy.QUERY}: no control cells are known.",
    warning=(
        "No catalogue was imported (ci-admin catalogue import), so the query was not checked."
    ),
    effective=None,
)


class ControlStrategies:
    """Assesses queries by the catalogue."""

    def __init__(self, catalogue: CatalogueReader, control_names: Collection[str]) -> None:
        """`control_names`: perturbations that are controls, whatever their case."""
        self._catalogue = catalogue
        self._control_names = frozenset(name.casefold() for name in control_names)
        self._queries = QueryReader(catalogue, self._control_names)

    async def assess(self, query: str, control_strategy: str) -> ControlAssessment:
        """Whether the query can have this strategy, and which one it should have.

        Raises ValueError when there is no such strategy.
        """
        asked = ControlStrategy(control_strategy)
        if not await self._catalogue.datasets():
            return _UNKNOWN
        warnings: list[str] = []
        subject = await self._queries.read(query, warnings)
        controls = await self._matched_controls(subject) if subject else []
        found = sum(cells.count for cells in controls)
        if 0 < found < FEW_CELLS:
            warnings.append(f"Only {found} control cells match, which makes a noisy control.")
        effective = asked if found else ControlStrategy.QUERY
        if effective is not asked:
            warnings.append(f"{effective} will be used instead of {asked}.")
        donors = sorted({cells.donor for cells in controls})
        return ControlAssessment(
            synthetic_control_available=found > 0,
            control_cells_found=found,
            control_donors=donors,
            control_conditions=sorted({cells.condition for cells in controls}),
            recommendation=_recommendation(subject, found, len(donors)),
            warning=" ".join(warnings) or None,
            effective=effective,
        )

    async def _matched_controls(self, subject: QuerySubject) -> list[ControlCells]:
        """Controls of the cell type, of datasets and tissues in which the treatment was used: on
        this type, or where it was used on no cell of it, on any. Of each dataset and tissue those
        of treated donors, or where these have none, all.
        """
        of_type = [c for c in subject.treated if c.cell_type_name == subject.cell_type]
        treated: dict[tuple[str, str], set[str]] = defaultdict(set)
        for cells in of_type or subject.treated:
            treated[cells.dataset, cells.tissue].add(cells.donor)
        controls = await self._catalogue.controls(subject.cell_type, self._control_names)
        by_place = _by_place(controls)
        chosen: list[ControlCells] = []
        for place, donors in treated.items():
            here = by_place[place]
            chosen += [cells for cells in here if cells.donor in donors] or here
        return chosen


def _by_place(controls: Iterable[ControlCells]) -> dict[tuple[str, str], list[ControlCells]]:
    found: dict[tuple[str, str], list[ControlCells]] = defaultdict(list)
    for cells in controls:
        found[cells.dataset, cells.tissue].append(cells)
    return found


def _recommendation(subject: QuerySubject | None, found: int, donors: int) -> str:
    if subject is None:
        return f"{ControlStrategy.QUERY}: without a known treatment no controls can be matched."
    about = f"{subject.perturbation} on {subject.cell_type}"
    if not found:
        return (
            f"{ControlStrategy.QUERY}: there are no control cells for {about}, in the datasets and "
            "tissues in which the treatment was used."
        )
    of_donors = "1 donor" if donors == 1 else f"{donors} donors"
    return (
        f"{ControlStrategy.SYNTHETIC}: there are {found} control cells of {of_donors} for {about}, "
        "of the same dataset, cell type and tissue."
    )
