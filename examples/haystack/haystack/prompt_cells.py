"""Prompt cells: the treated cells of the atlas that show what a treatment does, and query cells:
the untreated ones whose response is predicted.
"""

from dataclasses import dataclass

import numpy as np

from haystack.atlas import Array, Atlas
from haystack.errors import QueryError
from haystack.query import ParsedQuery

STRATEGIES = ("any_cell_type", "same_cell_type", "matched_donors")
"""From the widest to the narrowest choice."""

MAX_QUERY_CELLS = 120
RESPONDER_SHARE = 0.5
"""A responder moves along the expected shift by this part of what the best quarter does."""


@dataclass(frozen=True)
class QueryCells:
    """Untreated cells of the asked cell type, by their positions in the atlas."""

    positions: Array
    datasets: tuple[str, ...]
    is_matched: bool
    """Whether they share data set, cell type and tissue with a use of the treatment, so that they
    can be its controls.
    """


@dataclass(frozen=True)
class PromptPlan:
    """How prompt cells are chosen."""

    strategy: str = STRATEGIES[0]
    size: int = 40
    """How many at most."""
    left_out: tuple[str, ...] = ()
    """Donors whose cells are not used."""
    responders_only: bool = False
    """Whether cells that do not follow the best shift so far are dropped."""
    sample: int = 0
    """Another number draws other cells."""


def find_query_cells(atlas: Atlas, query: ParsedQuery, rng: np.random.Generator) -> QueryCells:
    """Controls that match the treatment where there are some, otherwise any untreated cells of the
    type.

    Raises:
        QueryError: the atlas has no untreated cell of this type.
    """
    of_type = atlas.where(cell_type_name=query.cell_type)
    treated = atlas.where(perturbation_name=query.perturbation)
    places = _places(atlas, treated & of_type) or _places(atlas, treated)
    untreated = of_type & atlas.is_control
    matched = untreated & np.array([place in places for place in _all_places(atlas)])
    is_matched = bool(matched.any())
    positions = np.flatnonzero(matched if is_matched else untreated)
    if not len(positions):
        raise QueryError(f"the atlas has no untreated cell of the type {query.cell_type}")
    if len(positions) > MAX_QUERY_CELLS:
        positions = np.sort(rng.choice(positions, MAX_QUERY_CELLS, replace=False))
    datasets = tuple(sorted(set(atlas.columns["dataset"][positions])))
    return QueryCells(positions, datasets, is_matched)


def available_strategies(atlas: Atlas, query: ParsedQuery, cells: QueryCells) -> list[str]:
    """The strategies that find any prompt cell for this query."""
    return [s for s in STRATEGIES if _candidates(atlas, query, cells, s).any()]


def choose_prompt_cells(
    atlas: Atlas,
    query: ParsedQuery,
    cells: QueryCells,
    plan: PromptPlan,
    expected: Array | None,
    rng: np.random.Generator,
) -> Array:
    """Sorted positions of the prompt cells. `expected` is the best shift so far, shape (genes,)."""
    mask = _candidates(atlas, query, cells, plan.strategy)
    mask &= ~np.isin(atlas.columns["donor"], plan.left_out)
    positions = np.flatnonzero(mask)
    if plan.responders_only and expected is not None and len(positions) > 1:
        positions = _responders(atlas, positions, expected)
    if len(positions) > plan.size:
        positions = np.sort(rng.choice(positions, plan.size, replace=False))
    return positions


def residuals(atlas: Atlas, positions: Array) -> Array:
    """Each of these cells minus the mean of its controls, shape (positions, genes).

    Controls have the same data set, cell type and tissue, and the same donor where it has some.
    """
    result = np.empty((len(positions), len(atlas.genes)))
    keys = [tuple(str(atlas.columns[name][place]) for name in _STRATUM) for place in positions]
    for key in sorted(set(keys)):
        members = [row for row, found in enumerate(keys) if found == key]
        controls = _controls(atlas, dict(zip(_STRATUM, key, strict=True)))
        mean = atlas.expression[controls].mean(axis=0)
        result[members] = atlas.expression[positions[members]] - mean
    return result


_STRATUM = ("dataset", "cell_type_name", "tissue", "donor")


def _controls(atlas: Atlas, stratum: dict[str, str]) -> Array:
    same_donor = np.flatnonzero(atlas.where(**stratum) & atlas.is_control)
    if len(same_donor):
        return same_donor
    others = {name: value for name, value in stratum.items() if name != "donor"}
    return np.flatnonzero(atlas.where(**others) & atlas.is_control)


def _candidates(atlas: Atlas, query: ParsedQuery, cells: QueryCells, strategy: str) -> Array:
    mask = atlas.where(perturbation_name=query.perturbation)
    if strategy != "any_cell_type":
        mask &= atlas.where(cell_type_name=query.cell_type)
    if strategy == "matched_donors":
        mask &= np.isin(atlas.columns["dataset"], cells.datasets)
        mask &= np.isin(atlas.columns["donor"], atlas.columns["donor"][cells.positions])
    return mask & _with_controls(atlas)


def _with_controls(atlas: Atlas) -> Array:
    """Cells that have controls of the same data set, cell type and tissue. A difference from other
    controls would show the data set as much as the treatment.
    """
    names = ("dataset", "cell_type_name", "tissue")
    keys = list(zip(*(atlas.columns[name] for name in names), strict=True))
    controlled = {key for key, control in zip(keys, atlas.is_control, strict=True) if control}
    return np.array([key in controlled for key in keys])


def _responders(atlas: Atlas, positions: Array, expected: Array) -> Array:
    """Those that move along the expected shift.

    They are chosen by the same expression that they are then used for, which makes the predicted
    shift a little larger than an independent choice would.
    """
    along = residuals(atlas, positions) @ expected
    enough = RESPONDER_SHARE * np.quantile(along, 0.75)
    kept = positions[along >= enough]
    return kept if len(kept) > 1 else positions


def _all_places(atlas: Atlas) -> list[tuple[str, str]]:
    return list(zip(atlas.columns["dataset"], atlas.columns["tissue"], strict=True))


def _places(atlas: Atlas, mask: Array) -> set[tuple[str, str]]:
    return set(zip(atlas.columns["dataset"][mask], atlas.columns["tissue"][mask], strict=True))
