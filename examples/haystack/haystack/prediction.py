"""A prediction: the query cells, moved by what the treatment did to the prompt cells."""

from dataclasses import dataclass

import numpy as np

from haystack.atlas import Array, Atlas
from haystack.prompt_cells import QueryCells, residuals

OWN_DONOR_SHARE = 0.5
"""How much of a cell's shift is its own donor's; the rest is the mean of all donors."""


@dataclass(frozen=True)
class Prediction:
    """Expression in log2(1 + normalised counts), of the same query cells in both arms."""

    treated: Array
    """Shape (query cells, genes)."""
    control: Array
    """Shape (query cells, genes)."""
    shift: Array
    """Mean perturbed-minus-control shift of the prompt cells, shape (genes,)."""
    donor_shifts: dict[str, Array]
    """The same by donor of the prompt cells."""


def predict(
    atlas: Atlas,
    cells: QueryCells,
    prompt: Array,
    control_strategy: str,
    rng: np.random.Generator,
) -> Prediction:
    """Move the query cells by the shift of the prompt cells (positions in the atlas).

    The other arm is the query cells as they are (`query_as_control`), or moved by a shift between
    two halves of the controls (`synthetic_control`), which has the sampling error of a shift and no
    response. Expression never falls below 0.
    """
    moved = residuals(atlas, prompt)
    donors = atlas.columns["donor"][prompt]
    donor_shifts = {str(name): moved[donors == name].mean(axis=0) for name in sorted(set(donors))}
    overall = moved.mean(axis=0)
    base = atlas.expression[cells.positions]
    own = np.array(
        [donor_shifts.get(str(name), overall) for name in atlas.columns["donor"][cells.positions]]
    )
    treated = base + OWN_DONOR_SHARE * own + (1 - OWN_DONOR_SHARE) * overall
    control = base
    if control_strategy == "synthetic_control":
        control = base + _null_shift(atlas, cells, rng)
    return Prediction(np.maximum(treated, 0), np.maximum(control, 0), overall, donor_shifts)


def _null_shift(atlas: Atlas, cells: QueryCells, rng: np.random.Generator) -> Array:
    """Mean difference of two random halves of the query cells, each donor halved."""
    halves = np.zeros(len(cells.positions))
    donors = atlas.columns["donor"][cells.positions]
    for name in sorted(set(donors)):
        members = rng.permutation(np.flatnonzero(donors == name))
        halves[members[: len(members) // 2]] = 1
    base = atlas.expression[cells.positions]
    if not halves.any():
        return np.zeros(base.shape[1])
    return np.asarray(base[halves == 1].mean(axis=0) - base[halves == 0].mean(axis=0))
