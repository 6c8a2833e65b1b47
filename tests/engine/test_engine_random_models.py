"""Random models, by every way through the engine, against the naive reference."""

import math
import tempfile
from pathlib import Path

import numpy as np
import pytest
from engine_models import make_inputs, write_lines, write_model
from engine_reference import gross, matrix, portfolio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.model.model import load_model
from engine.numbers.distribution import summarize
from engine.valuation.plan import Plan
from engine.valuation.valuation import value

TOLERANCE = 1e-12
PERCENTILES = (50, 75, 90, 95, 99)
DYNAMIC = ("sensitivity", "referenceRate", "minMultiplier", "maxMultiplier")
HOOKS = """
def adjust_mortality(policies, year, lives, rates):
    return 1.0 + policies.age[:, None] / 100.0 * lives

def adjust_lapse(policies, year, lives, rates):
    return (rates > 0.03) + 0.5 * year
"""

probabilities = st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0, 1))
multipliers = st.one_of(st.sampled_from([0.0, 1.0, 1e6]), st.floats(0, 3))
policies = st.fixed_dictionaries(
    {
        "age": st.integers(0, 120),
        "gender": st.integers(0, 1),
        "sum_assured": st.integers(0, 10**7).map(float),
        "premium": st.integers(0, 10**6).map(lambda cents: cents / 100),
        "term": st.one_of(st.integers(1, 60), st.integers(1, 1000)),
        "region": st.sampled_from(["north", "south"]),
    }
)
rates = st.lists(st.floats(-0.1, 0.5), min_size=50, max_size=50)


@st.composite
def assumptions(draw):
    """Tables and multipliers; a dynamic lapse half of the time."""
    low = draw(st.floats(0, 2))
    dynamic = (
        draw(st.floats(-50, 50)),
        draw(st.floats(-0.1, 0.2)),
        low,
        low + draw(st.floats(0, 3)),
    )
    return make_inputs(
        mortality=draw(
            st.lists(st.tuples(probabilities, probabilities), min_size=121, max_size=121)
        ),
        lapse=draw(st.lists(probabilities, min_size=50, max_size=50)),
        mortality_mult=draw(multipliers),
        lapse_mult=draw(multipliers),
        expense_mult=draw(multipliers),
        dynamic=draw(st.sampled_from([None, dynamic])),
    )


@st.composite
def models(draw):
    count = draw(st.integers(1, 12))
    return (
        draw(st.lists(policies, min_size=count, max_size=count)),
        draw(st.lists(rates, min_size=1, max_size=6)),
        draw(assumptions()),
        draw(st.booleans()),
    )


def config_of(inputs, hooked):
    config = {
        "multipliers": {
            "mortality": inputs.mortality_mult,
            "lapse": inputs.lapse_mult,
            "expense": inputs.expense_mult,
        },
        "output": {"breakdown": ["region"], "showCashflows": True},
    }
    if inputs.dynamic:
        config["dynamicLapse"] = dict(zip(DYNAMIC, inputs.dynamic, strict=True))
    return config | ({"hooks": "hooks.py"} if hooked else {})


def write_long(root, scenarios):
    lines = [
        f"{rate!r},{number},{year}"
        for number, path in enumerate(scenarios, 1)
        for year, rate in enumerate(path, 1)
    ]
    write_lines(root / "scenarios.csv", ["rate,scenario_id,year", *lines])


def valued(root, plan):
    blocks = []
    result = value(load_model(root), plan, blocks.append)
    return result, np.concatenate(blocks)


def check_statistics(npv):
    """The words of the specification, on sorted numbers."""
    ordered, n = sorted(npv), len(npv)
    found = summarize(np.array(npv), PERCENTILES)
    mean = math.fsum(ordered) / n
    assert found.mean == mean
    assert found.std_dev == pytest.approx(
        math.sqrt(math.fsum((x - mean) ** 2 for x in ordered) / n), rel=TOLERANCE
    )
    for p in PERCENTILES:
        place = p / 100 * (n - 1)
        below = math.floor(place)
        above = min(below + 1, n - 1)
        expected = ordered[below] + (place - below) * (ordered[above] - ordered[below])
        assert found.percentiles[p] == pytest.approx(expected, rel=TOLERANCE)
    tail = ordered[: -(-n // 20)]
    assert found.cte_95 == math.fsum(tail) / len(tail)
    assert (found.least, found.greatest) == (ordered[0], ordered[-1])


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(models(), st.integers(1, 9), st.integers(1, 3), st.booleans())
def test_random_models(model, block, threads, long):
    portfolio_, scenarios, inputs, hooked = model
    if hooked:
        inputs.mortality_hook = lambda policy, year, lives, rate: 1 + policy["age"] / 100 * lives
        inputs.lapse_hook = lambda policy, year, lives, rate: (rate > 0.03) + 0.5 * year
    with tempfile.TemporaryDirectory() as directory:
        root = write_model(
            Path(directory), portfolio_, scenarios, inputs,
            splits=[block], **config_of(inputs, hooked),
        )  # fmt: skip
        (root / "hooks.py").write_text(HOOKS)
        if long:
            write_long(root, scenarios)
        result, by_policy = valued(root, Plan(threads, block, block))
        assert valued(root, Plan())[0].npv.tobytes() == result.npv.tobytes()
    expected = np.array(matrix(portfolio_, scenarios, inputs))
    scale = max(1e-300, 1e-14 * gross(portfolio_, scenarios, inputs) * max(1, inputs.expense_mult))
    np.testing.assert_allclose(by_policy, expected, rtol=TOLERANCE, atol=scale)
    np.testing.assert_allclose(result.npv, portfolio(expected), rtol=TOLERANCE, atol=scale)
    np.testing.assert_allclose(result.part_npv.sum(axis=0), result.npv, rtol=1e-9, atol=scale * 100)
    check_statistics(result.npv.tolist())


@settings(deadline=None, max_examples=100)
@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=130))
def test_statistics_of_random_numbers(npv):
    check_statistics(npv)
