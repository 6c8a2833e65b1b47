"""Values against the golden case and against the naive reference."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from engine_models import make_inputs, make_policies, make_scenarios, write_model
from engine_reference import gross, matrix, portfolio

import engine
from engine.model.config import DynamicLapse, Multipliers, load_config
from engine.model.model import load_model
from engine.numbers.distribution import summarize
from engine.output.results import statistics_document
from engine.valuation.plan import Plan
from engine.valuation.valuation import value

GOLDEN = Path(engine.__file__).parent / "golden" / "term_life_100x10"
EXPECTED = json.loads((GOLDEN / "expected.json").read_text())
TOLERANCE = 1e-12


def load(root, **changes):
    return load_model(root, replace(load_config(root), **changes))


def values_by_policy(model, plan=None):
    blocks = []
    result = value(model, plan or Plan(), blocks.append)
    return result, np.concatenate(blocks)


def check_statistics(npv, expected):
    found = statistics_document(summarize(npv, (50, 75, 90, 95, 99)))
    found |= found.pop("percentiles")
    for name, number in expected.items():
        assert found[name] == pytest.approx(number, rel=TOLERANCE, abs=0), name


def test_golden_case():
    result, by_policy = values_by_policy(load(GOLDEN))
    np.testing.assert_allclose(by_policy, EXPECTED["policy_npv"], rtol=TOLERANCE)
    np.testing.assert_allclose(result.npv, EXPECTED["distribution"], rtol=TOLERANCE)
    check_statistics(result.npv, EXPECTED["statistics"])


def test_golden_case_with_multipliers():
    expected = EXPECTED["with_multipliers"]
    factors = Multipliers(expected["mortality"], expected["lapse"], expected["expense"])
    result = value(load(GOLDEN, multipliers=factors), Plan())
    np.testing.assert_allclose(result.npv, expected["distribution"], rtol=TOLERANCE)
    check_statistics(result.npv, expected["statistics"])


def test_golden_case_by_the_other_ways():
    """Dynamic lapse and hooks that change nothing give the golden values, too."""
    still = DynamicLapse(0.0, 0.0, 1.0, 1.0)
    result, by_policy = values_by_policy(load(GOLDEN, dynamic_lapse=still))
    np.testing.assert_allclose(by_policy, EXPECTED["policy_npv"], rtol=TOLERANCE)
    np.testing.assert_allclose(result.npv, EXPECTED["distribution"], rtol=TOLERANCE)


def check_against_reference(tmp_path, policies, scenarios, inputs=None, **config):
    inputs = inputs or make_inputs()
    root = write_model(tmp_path / "model", policies, scenarios, inputs, **config)
    result, by_policy = values_by_policy(load_model(root))
    expected = np.array(matrix(policies, scenarios, inputs))
    scale = 1e-14 * gross(policies[:1], scenarios, inputs)
    np.testing.assert_allclose(by_policy, expected, rtol=TOLERANCE, atol=scale)
    scale = 1e-14 * gross(policies, scenarios, inputs)
    np.testing.assert_allclose(result.npv, portfolio(expected), rtol=TOLERANCE, atol=scale)
    return result


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"mortality_mult": 1.25, "lapse_mult": 0.8, "expense_mult": 1.1},
        {"mortality_mult": 400.0},
        {"lapse_mult": 60.0},
        {"mortality_mult": 0.0, "lapse_mult": 0.0, "expense_mult": 0.0},
    ],
)
@pytest.mark.parametrize("dynamic", [None, (5.0, 0.04, 0.5, 2.0), (-80.0, 0.04, 0.0, 30.0)])
def test_reference(tmp_path, changes, dynamic):
    inputs = make_inputs(dynamic=dynamic, **changes)
    keys = {"mortality_mult": "mortality", "lapse_mult": "lapse", "expense_mult": "expense"}
    config = {"multipliers": {keys[key]: factor for key, factor in changes.items()}}
    if dynamic:
        names = ("sensitivity", "referenceRate", "minMultiplier", "maxMultiplier")
        config["dynamicLapse"] = dict(zip(names, dynamic, strict=True))
    check_against_reference(tmp_path, make_policies(40), make_scenarios(5), inputs, **config)


def test_terms_beyond_fifty_years_count_as_fifty(tmp_path):
    long = make_policies(5, term=51)
    fifty = [policy | {"term": 50} for policy in long]
    first = check_against_reference(tmp_path / "a", long, make_scenarios(3))
    second = check_against_reference(tmp_path / "b", fifty, make_scenarios(3))
    assert first.npv.tobytes() == second.npv.tobytes()


def test_ages_stop_at_120(tmp_path):
    check_against_reference(tmp_path, make_policies(10, age=119, term=30), make_scenarios(3))


@pytest.mark.parametrize("lapse", [1 - 1e-10, 1 - 0.9999e-10, 1 - 1.0001e-10, 1.0])
def test_a_policy_ends_below_a_ten_billionth_of_a_life(tmp_path, lapse):
    inputs = make_inputs(lapse=[lapse] + [0.01] * 49, mortality=[(0.0, 0.0)] * 121)
    policies = make_policies(3, premium=1e12, term=20)
    check_against_reference(tmp_path, policies, make_scenarios(2), inputs)


def test_rates_far_below_zero(tmp_path):
    scenarios = [[-0.5] * 50, [0.0] * 50]
    check_against_reference(tmp_path, make_policies(10), scenarios)


HOOKS = """
import numpy as np

def adjust_mortality(policies, year, lives, rates):
    smoking = np.where(policies.sum_assured > 200_000, 1.5, 0.9)[:, None]
    return smoking * (1 + 0.01 * year) * np.where(lives > 0.5, 1.0, 1.1)

def adjust_lapse(policies, year, lives, rates):
    return 1 + 4 * np.abs(rates) * (policies.words("region") == "north")[:, None]
"""


def test_hooks_against_the_reference(tmp_path):
    def mortality(policy, year, lives, rate):
        smoking = 1.5 if policy["sum_assured"] > 200_000 else 0.9
        return smoking * (1 + 0.01 * year) * (1.0 if lives > 0.5 else 1.1)

    def lapse(policy, year, lives, rate):
        return 1 + 4 * abs(rate) * (policy["region"] == "north")

    inputs = make_inputs(mortality_hook=mortality, lapse_hook=lapse, dynamic=(5.0, 0.04, 0.5, 2.0))
    dynamic = {
        "sensitivity": 5.0, "referenceRate": 0.04, "minMultiplier": 0.5, "maxMultiplier": 2.0
    }  # fmt: skip
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "hooks.py").write_text(HOOKS)
    check_against_reference(
        tmp_path, make_policies(40), make_scenarios(5), inputs,
        hooks="hooks.py", dynamicLapse=dynamic,
    )  # fmt: skip


def test_a_hook_that_does_the_same_as_dynamic_lapse(tmp_path):
    policies, scenarios = make_policies(30), make_scenarios(4)
    dynamic = {
        "sensitivity": 5.0, "referenceRate": 0.04, "minMultiplier": 0.5, "maxMultiplier": 2.0
    }  # fmt: skip
    first = write_model(tmp_path / "a", policies, scenarios, dynamicLapse=dynamic)
    second = write_model(tmp_path / "b", policies, scenarios, hooks={"file": "h.py"})
    (second / "h.py").write_text(
        "def adjust_lapse(policies, year, lives, rates):\n"
        "    return (1 + 5.0 * (rates - 0.04)).clip(0.5, 2.0)\n"
    )
    one, two = (value(load_model(root), Plan()).npv for root in (first, second))
    np.testing.assert_allclose(one, two, rtol=1e-12)
