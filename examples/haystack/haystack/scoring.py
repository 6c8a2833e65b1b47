"""Scores of a prediction, each from 1 to 10: is it what biology would look like?

Each score is 1 + 9 x of a fraction x from 0 to 1. The overall score is their mean.
"""

import math
from dataclasses import dataclass

import numpy as np

from haystack.atlas import Array, Knowledge
from haystack.expression import Expression
from haystack.prediction import Prediction
from haystack.statistics import benjamini_hochberg, hypergeometric_tail, pearson, rank_sum

COMPONENTS = (
    "pathway_coherence",
    "target_activation",
    "donor_consistency",
    "network_coherence",
)
SIGNIFICANT = 0.05
FULL_EVIDENCE = 12.0
"""-log10 of the p-value that is as convincing as can be."""


@dataclass(frozen=True)
class Enrichment:
    """How many differentially expressed genes a pathway has."""

    pathway: str
    overlap: int
    size: int
    p_value: float
    adjusted_p_value: float


@dataclass(frozen=True)
class Activation:
    """How a transcription factor's targets change, compared with the other genes."""

    factor: str
    targets: int
    z: float
    p_value: float
    adjusted_p_value: float


@dataclass(frozen=True)
class Evaluation:
    """Scores with what they were computed from."""

    score: float
    scores: dict[str, float]
    pathways: tuple[Enrichment, ...]
    """Significant ones, the most significant first."""
    factors: tuple[Activation, ...]
    """Significantly activated ones, the most activated first."""
    donor_correlations: dict[str, float]
    """Of each donor's shift with the mean of the other donors' shifts."""


def evaluate(
    prediction: Prediction,
    expression: Expression,
    knowledge: Knowledge,
    perturbation: str,
    *,
    with_pathways: bool = True,
) -> Evaluation:
    """Score a prediction; without pathways their score is left out of the mean."""
    pathways = enriched_pathways(expression, knowledge) if with_pathways else ()
    donors = donor_correlations(prediction)
    fractions = {
        "pathway_coherence": _pathway_fraction(expression, knowledge, pathways),
        "target_activation": _target_fraction(expression, knowledge, perturbation),
        "donor_consistency": _donor_fraction(donors),
        "network_coherence": _network_fraction(expression, knowledge),
    }
    if not with_pathways:
        del fractions["pathway_coherence"]
    scores = {name: round(1 + 9 * min(1.0, max(0.0, x)), 3) for name, x in fractions.items()}
    score = round(sum(scores.values()) / len(scores), 3)
    factors = activated_factors(expression, knowledge)
    return Evaluation(score, scores, pathways, factors, donors)


def enriched_pathways(expression: Expression, knowledge: Knowledge) -> tuple[Enrichment, ...]:
    """Pathways with more differentially expressed genes than by chance (Fisher's exact test,
    one-sided, adjusted by Benjamini and Hochberg).
    """
    significant = expression.is_significant
    drawn, population = int(significant.sum()), len(significant)
    overlaps = {name: int(significant[genes].sum()) for name, genes in knowledge.pathways.items()}
    sizes = {name: len(genes) for name, genes in knowledge.pathways.items()}
    p_values = {
        name: hypergeometric_tail(overlaps[name], population, sizes[name], drawn)
        for name in overlaps
    }
    adjusted = benjamini_hochberg(np.array(list(p_values.values())))
    found = [
        Enrichment(name, overlaps[name], sizes[name], p_value, float(q))
        for (name, p_value), q in zip(p_values.items(), adjusted, strict=True)
        if q <= SIGNIFICANT
    ]
    return tuple(sorted(found, key=lambda item: (item.p_value, item.pathway)))


def activated_factors(expression: Expression, knowledge: Knowledge) -> tuple[Activation, ...]:
    """Transcription factors whose targets go up more than other genes do (rank-sum test, adjusted
    by Benjamini and Hochberg).
    """
    tests = [_shifted(expression.log2_fold_change, genes) for genes in knowledge.regulons.values()]
    adjusted = benjamini_hochberg(np.array([p_value for _, _, p_value in tests]))
    found = [
        Activation(factor, len(genes), z, p_value, float(q))
        for (factor, genes), (_, z, p_value), q in zip(
            knowledge.regulons.items(), tests, adjusted, strict=True
        )
        if q <= SIGNIFICANT and z > 0
    ]
    return tuple(sorted(found, key=lambda item: (-item.z, item.factor)))


def donor_correlations(prediction: Prediction) -> dict[str, float]:
    """Pearson's correlation of each donor's shift with the mean of the others'; none of one."""
    shifts = prediction.donor_shifts
    if len(shifts) < 2:
        return {}
    return {
        name: pearson(shift, np.mean([s for n, s in shifts.items() if n != name], axis=0))
        for name, shift in shifts.items()
    }


def largest_component(nodes: Array, edges: Array) -> int:
    """The number of nodes in the largest connected part of a graph (positions; union-find)."""
    parent = {int(node): int(node) for node in nodes}

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for first, second in edges:
        parent[root(int(first))] = root(int(second))
    sizes: dict[int, int] = {}
    for node in parent:
        sizes[root(node)] = sizes.get(root(node), 0) + 1
    return max(sizes.values(), default=0)


def _pathway_fraction(
    expression: Expression, knowledge: Knowledge, pathways: tuple[Enrichment, ...]
) -> float:
    """Half for the evidence of the best pathway, half for the changed genes that are in enriched
    ones.
    """
    if not pathways:
        return 0.0
    members = np.unique(np.concatenate([knowledge.pathways[item.pathway] for item in pathways]))
    significant = expression.is_significant
    inside = float(significant[members].sum()) / float(significant.sum())
    return (_evidence(pathways[0].p_value) + inside) / 2


def _target_fraction(expression: Expression, knowledge: Knowledge, perturbation: str) -> float:
    """How far the known targets are above the other genes, from the common-language effect size
    U / (n·m) (McGraw and Wong, Psychol. Bull. 111, 1992): 0 at a half, 1 at one. 0 unless
    significant.
    """
    factors = knowledge.targets.get(perturbation, [])
    if not factors:
        return 0.0
    genes = np.unique(np.concatenate([knowledge.regulons[name] for name in factors]))
    above, _, p_value = _shifted(expression.log2_fold_change, genes)
    return max(0.0, 2 * above - 1) if p_value <= SIGNIFICANT else 0.0


def _donor_fraction(correlations: dict[str, float]) -> float:
    """The lowest of the correlations: a response that one donor lacks is not consistent."""
    return min(correlations.values(), default=0.0)


def _network_fraction(expression: Expression, knowledge: Knowledge) -> float:
    """Half for the evidence that changed genes have more edges among them than chance
    (hypergeometric, over pairs of genes), half for how many of them hang together.
    """
    significant = expression.is_significant
    genes = np.flatnonzero(significant)
    if len(genes) < 3:
        return 0.0
    inside = knowledge.edges[significant[knowledge.edges].all(axis=1)]
    pairs, drawn = math.comb(len(significant), 2), math.comb(len(genes), 2)
    p_value = hypergeometric_tail(len(inside), pairs, len(knowledge.edges), drawn)
    return (_evidence(p_value) + largest_component(genes, inside) / len(genes)) / 2


def _shifted(change: Array, genes: Array) -> tuple[float, float, float]:
    """U / (n·m), z and p-value of the rank-sum test of these genes against all others."""
    members = np.zeros(len(change), dtype=bool)
    members[genes] = True
    u, z, p_value = rank_sum(change[members][:, None], change[~members][:, None])
    above = float(u[0]) / (int(members.sum()) * int((~members).sum()))
    return above, float(z[0]), float(p_value[0])


def _evidence(p_value: float) -> float:
    return min(1.0, -math.log10(max(p_value, 1e-300)) / FULL_EVIDENCE)
