"""Differential expression between the two arms of a prediction."""

from dataclasses import dataclass

import numpy as np

from haystack.atlas import Array
from haystack.prediction import Prediction
from haystack.settings import DifferentialExpression
from haystack.statistics import benjamini_hochberg, rank_sum


@dataclass(frozen=True)
class Expression:
    """One value a gene in each array."""

    log2_fold_change: Array
    """Mean of the treated arm minus mean of the control arm; both are log2 already."""
    p_value: Array
    adjusted_p_value: Array
    is_significant: Array
    """Whether both bounds of the settings are met."""

    def strongest(self, sign: int, most: int) -> Array:
        """Positions of significant genes that go up (1) or down (-1), the largest change first."""
        change = sign * self.log2_fold_change
        found = np.flatnonzero(self.is_significant & (change > 0))
        return found[np.argsort(-change[found], kind="stable")][:most]


def compare_arms(prediction: Prediction, bounds: DifferentialExpression) -> Expression:
    """Rank-sum test of each gene, adjusted by Benjamini and Hochberg.

    Both arms are the same cells, moved: the test says which changes are large beside the spread of
    cells. It knows nothing of further donors, which is what the consistency score is for.
    """
    _, _, p_value = rank_sum(prediction.treated, prediction.control)
    change = prediction.treated.mean(axis=0) - prediction.control.mean(axis=0)
    adjusted = benjamini_hochberg(p_value)
    significant = (adjusted <= bounds.max_adjusted_p_value) & (
        np.abs(change) >= bounds.min_log2_fold_change
    )
    return Expression(change, p_value, adjusted, significant)
