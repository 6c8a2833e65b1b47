"""What is planted in the synthetic atlas: genes, pathways, regulons, and responses to treatments.

Only the generator and tests import this. A run never does: it has to find the responses again.
All draws use `RandomState`, whose streams are frozen, so every version of numpy plants the same.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

SEED = 20_240_115
GENES = 400
PATHWAY_SIZE = 24
CORE_SIZE = 7
"""Genes of a pathway, its first ones, that respond in every cell type."""

PATHWAYS = (
    "SYNTHETIC_INTERFERON_RESPONSE",
    "SYNTHETIC_ANTIGEN_PRESENTATION",
    "SYNTHETIC_NFKB_SIGNALLING",
    "SYNTHETIC_INFLAMMATION",
    "SYNTHETIC_TYPE_2_RESPONSE",
    "SYNTHETIC_LIPID_METABOLISM",
    "SYNTHETIC_MATRIX_DEPOSITION",
    "SYNTHETIC_MIGRATION",
    "SYNTHETIC_GLUCOCORTICOID_RESPONSE",
    "SYNTHETIC_CELL_CYCLE",
    "SYNTHETIC_TRANSLATION",
    "SYNTHETIC_STRESS",
)

EFFECTS: dict[str, dict[str, float]] = {
    "interferon-beta": {
        "SYNTHETIC_INTERFERON_RESPONSE": 1.6,
        "SYNTHETIC_ANTIGEN_PRESENTATION": 1.0,
        "SYNTHETIC_TRANSLATION": -0.9,
    },
    "interferon-gamma": {
        "SYNTHETIC_ANTIGEN_PRESENTATION": 1.6,
        "SYNTHETIC_INTERFERON_RESPONSE": 0.9,
        "SYNTHETIC_CELL_CYCLE": -0.9,
    },
    "tumor necrosis factor": {
        "SYNTHETIC_NFKB_SIGNALLING": 1.6,
        "SYNTHETIC_INFLAMMATION": 1.2,
    },
    "interleukin-4": {
        "SYNTHETIC_TYPE_2_RESPONSE": 1.5,
        "SYNTHETIC_LIPID_METABOLISM": 1.0,
        "SYNTHETIC_INFLAMMATION": -0.8,
    },
    "transforming growth factor beta 1": {
        "SYNTHETIC_MATRIX_DEPOSITION": 1.7,
        "SYNTHETIC_MIGRATION": 1.1,
        "SYNTHETIC_CELL_CYCLE": -0.9,
    },
    "dexamethasone": {
        "SYNTHETIC_GLUCOCORTICOID_RESPONSE": 1.6,
        "SYNTHETIC_INFLAMMATION": -1.1,
        "SYNTHETIC_NFKB_SIGNALLING": -0.9,
    },
}
"""Mean log2 fold change of the genes that respond, by perturbation and pathway."""


@dataclass(frozen=True)
class Knowledge:
    """What would be public databases elsewhere. Genes are positions in `genes`."""

    genes: list[str]
    pathways: dict[str, list[int]]
    regulons: dict[str, list[int]]
    """Targets by transcription factor, all of them activated by it."""
    edges: list[tuple[int, int]]
    """Pairs of genes that are known to work together, the smaller position first."""
    targets: dict[str, list[str]]
    """Transcription factors that a perturbation is known to activate."""


def stream(*names: str) -> np.random.RandomState:
    """A stream of random numbers of its own for whatever has these names."""
    text = "/".join(names).encode()
    words = [SEED, *(int.from_bytes(text[i : i + 4], "little") for i in range(0, len(text), 4))]
    return np.random.RandomState(words)


@cache
def knowledge() -> Knowledge:
    """Genes, pathways, regulons and the network, the same each time."""
    genes = [f"SYN{number:04d}" for number in range(1, GENES + 1)]
    regulators = [f"SYNTF{number:02d}" for number in range(1, len(PATHWAYS) + 1)]
    genes[-len(regulators) :] = regulators
    pathways = {
        name: list(range(i * PATHWAY_SIZE, (i + 1) * PATHWAY_SIZE))
        for i, name in enumerate(PATHWAYS)
    }
    regulons = {
        factor: _regulon(factor, members)
        for factor, members in zip(regulators, pathways.values(), strict=True)
    }
    factor_of = dict(zip(PATHWAYS, regulators, strict=True))
    targets = {
        perturbation: [factor_of[name] for name, effect in effects.items() if effect > 0]
        for perturbation, effects in EFFECTS.items()
    }
    return Knowledge(genes, pathways, regulons, _edges(genes, pathways, regulons), targets)


@cache
def planted_response(cell_type: str, perturbation: str) -> Array:
    """The true log2 fold change of each gene in cells of the type that respond; shape (genes,).

    A pathway's core responds everywhere; of its other genes half do, some the other way round, and
    which ones depends on the cell type. So do twelve genes outside of every pathway.
    """
    known = knowledge()
    response = np.zeros(GENES)
    for name, effect in EFFECTS.get(perturbation, {}).items():
        members = np.array(known.pathways[name])
        draws = stream("response", cell_type, name)
        size = effect * draws.uniform(0.7, 1.3, len(members))
        own = draws.uniform(size=len(members))
        sign = np.where(own < 0.6, 1.0, np.where(own < 0.65, -0.7, 0.0))
        sign[:CORE_SIZE] = 1.0
        response[members] = size * sign
        response[known.genes.index(_factor(known, name))] = 0.6 * effect
    if response.any():
        draws = stream("private", cell_type, perturbation)
        background = np.arange(len(PATHWAYS) * PATHWAY_SIZE, GENES - len(PATHWAYS))
        private = draws.choice(background, size=6, replace=False)
        response[private] = draws.choice([-1.0, 1.0], size=6) * draws.uniform(0.8, 1.4, 6)
    return response


def _factor(known: Knowledge, pathway: str) -> str:
    return list(known.regulons)[list(known.pathways).index(pathway)]


def _regulon(factor: str, members: list[int]) -> list[int]:
    """The pathway's core, some of its other genes, and a few from elsewhere."""
    draws = stream("regulon", factor)
    others = draws.choice(members[CORE_SIZE:], size=10, replace=False)
    elsewhere = draws.choice(GENES - len(PATHWAYS), size=4, replace=False)
    return sorted({*members[:CORE_SIZE], *map(int, others), *map(int, elsewhere)})


def _edges(
    genes: list[str], pathways: dict[str, list[int]], regulons: dict[str, list[int]]
) -> list[tuple[int, int]]:
    draws = stream("edges")
    pairs = [
        (genes.index(factor), target) for factor, found in regulons.items() for target in found
    ]
    for members in pathways.values():
        pairs += [tuple(draws.choice(members, size=2, replace=False)) for _ in range(40)]
    pairs += [tuple(draws.choice(GENES, size=2, replace=False)) for _ in range(150)]
    return sorted({(int(min(pair)), int(max(pair))) for pair in pairs if pair[0] != pair[1]})
