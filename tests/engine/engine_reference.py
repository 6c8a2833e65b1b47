"""The projection as the specification words it: scalars, loops, nothing shared with the engine."""

import math
from dataclasses import dataclass


@dataclass
class Inputs:
    mortality: list  # (male, female) by age
    lapse: list  # by year, from 1 at index 0
    expenses: dict
    mortality_mult: float = 1.0
    lapse_mult: float = 1.0
    expense_mult: float = 1.0
    dynamic: tuple | None = None  # s, reference, lo, hi
    mortality_hook: object = None  # (policy, year, lives, rate) -> multiplier
    lapse_hook: object = None


def policy_npv(policy, rates, inputs):
    """`policy`: age, gender (0 male), sum_assured, premium, term; `rates`: 50 of them."""
    lives, factor, npv = 1.0, 1.0, 0.0
    for t in range(1, min(policy["term"], 50) + 1):
        r = rates[t - 1]
        qx = inputs.mortality[min(120, policy["age"] + t - 1)][policy["gender"]]
        q = qx * inputs.mortality_mult
        w = inputs.lapse[t - 1] * inputs.lapse_mult
        if inputs.dynamic:
            s, reference, lo, hi = inputs.dynamic
            w *= min(max(1.0 + s * (r - reference), lo), hi)
        if inputs.mortality_hook:
            q *= inputs.mortality_hook(policy, t, lives, r)
        if inputs.lapse_hook:
            w *= inputs.lapse_hook(policy, t, lives, r)
        q, w = min(1.0, q), min(1.0, w)
        deaths = lives * q
        premium = lives * policy["premium"]
        claim = deaths * policy["sum_assured"]
        e = inputs.expenses
        first = e["per_policy_acquisition"] if t == 1 else 0.0
        upkeep = e["per_policy_maintenance"] + e["percent_of_premium"] * policy["premium"] + first
        expense = (lives * upkeep + deaths * e["claim_expense"]) * inputs.expense_mult
        factor /= 1.0 + r
        npv += (premium - claim - expense) * factor
        lives = (lives - deaths) * (1.0 - w)
        if lives < 1e-10:
            break
    return npv


def matrix(policies, scenarios, inputs):
    return [[policy_npv(policy, rates, inputs) for rates in scenarios] for policy in policies]


def portfolio(rows):
    return [math.fsum(column) for column in zip(*rows, strict=True)]


def gross(policies, scenarios, inputs):
    """A scale for errors: every flow in full, discounted as strongly as it ever is."""
    worst = max(1.0, *(1.0 / math.prod(1.0 + min(r, 0.0) for r in rates) for rates in scenarios))
    flows = sum(50 * p["premium"] + p["sum_assured"] + 50 * 1000 for p in policies)
    return flows * worst
