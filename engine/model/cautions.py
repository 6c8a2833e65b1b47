"""What is valid in a model, and yet may give values that its user does not expect."""

import numpy as np

from engine.horizon import YEARS
from engine.model.model import Model
from engine.model.policies import MAX_AGE, Policies
from engine.scenarios.generator import GeneratedRates
from engine.scenarios.rates import Rates

USUAL_RATES = (-0.2, 0.5)  # fractions a year
BLOCK = 1024  # scenarios that are looked at together


def cautions(model: Model) -> tuple[str, ...]:
    """Sentences for the user, none where there is nothing to say."""
    found = (
        _model_file(model.config.model_file),
        _whole_life(model.policies),
        _long_terms(model.policies),
        _unusual_rates(model.rates),
    )
    return tuple(sentence for sentence in found if sentence)


def _model_file(name: str) -> str:
    return f"{name} is not read: the model is valued as term_life." if name else ""


def _whole_life(policies: Policies) -> str:
    """Of whole-life policies that the projection leaves while the insured may be alive."""
    end = policies.age.astype(np.int64) + np.minimum(policies.term, YEARS)
    count = int(np.count_nonzero(policies.are("WholeLife") & (end <= MAX_AGE)))
    if not count:
        return ""
    return (
        f"{count:,} whole-life policies end before age {MAX_AGE}: the projection ends with "
        f"their term, and after {YEARS} years at the latest, so later claims are left out."
    )


def _long_terms(policies: Policies) -> str:
    others = ~policies.are("WholeLife")
    count = int(np.count_nonzero(others & (policies.term > YEARS)))
    if not count:
        return ""
    return (
        f"{count:,} policies have a term of more than {YEARS} years: only the first {YEARS} years "
        "are valued."
    )


def _unusual_rates(rates: Rates) -> str:
    low, high = _range(rates)
    if USUAL_RATES[0] <= low and high <= USUAL_RATES[1]:
        return ""
    return (
        f"Interest rates go from {100 * low:.4g} % to {100 * high:.4g} % a year. Rates are "
        "fractions (0.035 is 3.5 %): check the scenarios."
    )


def _range(rates: Rates) -> tuple[float, float]:
    """The least and the greatest rate; generated ones are looked at only if they can be unusual."""
    if isinstance(rates, GeneratedRates):
        low, high = rates.bounds
        if USUAL_RATES[0] <= low and high <= USUAL_RATES[1]:
            return low, high
    blocks = (rates.block(i, min(i + BLOCK, rates.count)) for i in range(0, rates.count, BLOCK))
    ranges = [(float(block.min()), float(block.max())) for block in blocks]
    return min(low for low, _ in ranges), max(high for _, high in ranges)
