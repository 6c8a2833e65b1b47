"""Random models, crossed with every output option and every way of valuing."""

import hashlib
import json
import math
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from engine_models import make_policies, make_scenarios, write_model
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from engine.command.commands import main
from engine.output.results import canonical

ATTRIBUTES = ("gender", "product_type", "underwriting_class", "region")
PRODUCTS = ("Term", "WholeLife", "Endowment")
CLASSES = ("Standard", "Smoker", "NonSmoker", "Preferred", "Substandard")
WAYS = {
    "fixed": {},
    "dynamic": {
        "dynamicLapse": {
            "sensitivity": 5, "referenceRate": 0.04, "minMultiplier": 0.5, "maxMultiplier": 2
        }
    },
    "hooks": {"hooks": "hooks.py"},
}  # fmt: skip
HOOKS = "def adjust_lapse(policies, year, lives, rates):\n    return 1 + rates\n"


def some_of(words):
    """Few different words, often only one: the others are words that no policy has."""
    return st.lists(st.sampled_from(words), min_size=1, max_size=2, unique=True)


@st.composite
def portfolios(draw):
    words = {
        "gender": draw(some_of((0, 1))),
        "product_type": draw(some_of(PRODUCTS)),
        "underwriting_class": draw(some_of(CLASSES)),
        "region": draw(some_of(("north", "Österreich", ""))),
    }
    count, seed = draw(st.integers(1, 8)), draw(st.integers(0, 1000))
    return [
        policy | {name: draw(st.sampled_from(known)) for name, known in words.items()}
        for policy in make_policies(count, seed)
    ]


outputs = st.fixed_dictionaries(
    {},
    optional={
        "percentiles": st.lists(st.sampled_from([0, 0.5, 5, 50, 99.9, 100]), unique=True),
        "showDistribution": st.booleans(),
        "showCashflows": st.booleans(),
        "perPolicy": st.booleans(),
        "acceptNoMaturity": st.booleans(),
        "breakdown": st.lists(st.sampled_from(ATTRIBUTES), min_size=1, unique=True),
    },
)
rates = st.one_of(
    st.builds(make_scenarios, st.integers(1, 4), st.integers(0, 1000)),
    st.integers(1, 4).map(lambda count: [[0.03] * 50] * count),
    st.integers(1, 99).map(lambda n: [[0.03] * 50, [0.03 + n * math.ulp(0.03)] * 50]),
)
options = st.sampled_from([(), ("--json",), ("--per-policy",), ("--plot",)])
ONLY_TERM = make_policies(3, gender=0, product_type="Term", underwriting_class="Smoker")
ALL_PARTS = {"breakdown": list(ATTRIBUTES), "showCashflows": True}


def run(root, *options):
    """The files of a run, JSON decoded, by name."""
    output = root / "out"
    assert main(["validate", str(root)]) == 0
    assert main(["run", str(root), "--output", str(output), *options]) == 0
    return {
        path.name: json.loads(path.read_text()) if path.suffix == ".json" else path
        for path in output.iterdir()
    }


def word(policy, attribute):
    return ("Male", "Female")[policy["gender"]] if attribute == "gender" else policy[attribute]


def refused(policies, output):
    endowments = [policy for policy in policies if policy["product_type"] == "Endowment"]
    return endowments and not output.get("acceptNoMaturity", True)


def check_warnings(results, policies):
    """What is cut off is told, and nothing else: these rates are usual."""
    ends = [p["age"] + min(p["term"], 50) for p in policies if p["product_type"] == "WholeLife"]
    long = [p for p in policies if p["product_type"] != "WholeLife" and p["term"] > 50]
    expected = ["whole-life"] if any(end <= 120 for end in ends) else []
    expected += ["more than 50 years"] if long else []
    found = results.get("warnings", [])
    assert len(found) == len(expected)
    assert all(word in text for word, text in zip(expected, found, strict=True))


def check_parts(parts, policies, breakdown, mean):
    """Every word that a policy has is there, no other is, and they add up."""
    assert set(parts) == set(breakdown)
    for attribute, found in parts.items():
        expected = Counter(word(policy, attribute) for policy in policies)
        assert {name: part["policy_count"] for name, part in found.items()} == expected
        total = math.fsum(part["statistics"]["mean_npv"] for part in found.values())
        assert total == pytest.approx(mean, rel=1e-9, abs=1e-4)


def check_results(results, npv, output):
    """Keys, hash and statistics of results.json, from npv.npy."""
    unhashed = ("result_hash", "warnings")
    content = {key: value for key, value in results.items() if key not in unhashed}
    assert hashlib.sha256(canonical(content)).hexdigest() == results["result_hash"]
    assert ("distribution" in results) == output.get("showDistribution", True)
    assert results.get("distribution", npv.tolist()) == npv.tolist()
    assert results["statistics"]["mean_npv"] == math.fsum(npv.tolist()) / len(npv)
    if "percentiles" in output:
        expected = {f"p{p:g}" for p in output["percentiles"]}
        assert set(results["statistics"]["percentiles"]) == expected


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(portfolios(), rates, st.sampled_from(list(WAYS)), outputs, options)
@example(ONLY_TERM, make_scenarios(3), "fixed", ALL_PARTS, ())
@example(ONLY_TERM, make_scenarios(3), "dynamic", ALL_PARTS, ())
@example(ONLY_TERM, make_scenarios(3), "hooks", ALL_PARTS, ())
def test_every_output_of_random_models(policies, scenarios, way, output, asked):
    with tempfile.TemporaryDirectory() as directory:
        root = write_model(Path(directory), policies, scenarios, output=output, **WAYS[way])
        (root / "hooks.py").write_text(HOOKS)
        if refused(policies, output):
            assert main(["validate", str(root)]) == main(["run", str(root), *asked[:-1]]) == 1
            return
        if asked == ("--plot",):
            pytest.importorskip("matplotlib")
            asked = ("--plot", str(root / "plot.svg"))
        files = run(root, *asked)
        npv = np.load(files["npv.npy"])
        results = files["results.json"]
        check_results(results, npv, output)
        check_warnings(results, policies)
        assert ("cash_flows.json" in files) == output.get("showCashflows", False)
        by_policy = output.get("perPolicy", False) or asked == ("--per-policy",)
        assert ("policy_npv.npy" in files) == by_policy
        assert ("breakdown.json" in files) == ("breakdown" in output)
        if "breakdown" in output:
            mean = results["statistics"]["mean_npv"]
            check_parts(files["breakdown.json"], policies, output["breakdown"], mean)
        if "policy_npv.npy" in files:
            matrix = np.load(files["policy_npv.npy"])
            np.testing.assert_allclose(matrix.sum(axis=0), npv, rtol=1e-9, atol=1e-4)
