"""The same bytes whatever the threads, the blocks, the files, the order, the processor."""

import itertools
import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from engine_models import make_policies, make_scenarios, write_model
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.model.config import OutputOptions, Scenarios, load_config
from engine.model.hooks import Hooks
from engine.model.model import load_model
from engine.numbers.exact import ExactSum
from engine.parity import golden_set, places
from engine.parity.verdict import verdict
from engine.valuation.discount import curves
from engine.valuation.per_policy import values
from engine.valuation.plan import Plan
from engine.valuation.valuation import value

DYNAMIC = {
    "sensitivity": 5.0, "referenceRate": 0.04, "minMultiplier": 0.5, "maxMultiplier": 2.0
}  # fmt: skip
POLICIES = make_policies(60)
SCENARIOS = make_scenarios(23)


def grow(policies, year, lives, rates):
    return 1 + policies.age[:, None] / 100 * lives


HOOKS = Hooks("test", adjust_mortality=grow, adjust_lapse=grow)
WAYS = ["fixed", "dynamic", "hooks"]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    fixed = load_model(write_model(tmp_path_factory.mktemp("fixed"), POLICIES, SCENARIOS))
    root = write_model(
        tmp_path_factory.mktemp("dynamic"), POLICIES, SCENARIOS, dynamicLapse=DYNAMIC
    )
    hooked = replace(fixed, basis=replace(fixed.basis, hooks=HOOKS))
    return {"fixed": fixed, "dynamic": load_model(root), "hooks": hooked}


def everything(model, plan):
    """All the bytes that a run gives."""
    blocks = []
    output = OutputOptions(show_cashflows=True, breakdown=("region", "gender"))
    model = replace(model, config=replace(model.config, output=output))
    result = value(model, plan, blocks.append)
    flows = (result.flows.policies, result.flows.net)
    arrays = (result.npv, result.part_npv, np.concatenate(blocks), *flows)
    return b"".join(array.tobytes() for array in arrays)


@pytest.mark.parametrize("way", WAYS)
def test_threads_and_blocks(models, way):
    expected = everything(models[way], Plan())
    for threads, size in itertools.product((1, 2, 3, 8), (1, 5, 16, 100)):
        assert everything(models[way], Plan(threads, size, size)) == expected, (threads, size)


@pytest.mark.parametrize("way", WAYS)
@given(threads=st.integers(1, 8), scenarios=st.integers(1, 30), policies=st.integers(1, 70))
@settings(max_examples=15, deadline=None)
def test_any_threads_and_blocks(models, way, threads, scenarios, policies):
    plan = Plan(threads, scenarios, policies)
    expected = value(models[way], Plan()).npv
    assert value(models[way], plan).npv.tobytes() == expected.tobytes()


@pytest.mark.parametrize("way", WAYS)
def test_tiles(models, way, monkeypatch):
    expected = everything(models[way], Plan())
    for tile in (1, 10, 23, 100):
        monkeypatch.setattr("engine.valuation.per_policy.TILE", tile)
        assert everything(models[way], Plan()) == expected


@given(splits=st.sets(st.integers(1, 59), max_size=4), order=st.randoms())
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_split_of_the_policies_in_any_order(models, tmp_path_factory, splits, order):
    policies = list(POLICIES)
    order.shuffle(policies)
    root = write_model(tmp_path_factory.mktemp("split"), policies, SCENARIOS, splits=splits)
    npv = value(load_model(root), Plan()).npv
    assert npv.tobytes() == value(models["fixed"], Plan()).npv.tobytes()


@pytest.mark.parametrize("way", WAYS)
def test_a_single_scenario_is_worth_what_it_is_among_others(models, way):
    """One column is where numpy's own sums take another order."""
    model = models[way]
    expected = value(model, Plan()).npv
    for at in (0, 11, 22):
        alone = replace(model, rates=Rows(model.rates.block(at, at + 1)))
        assert value(alone, Plan()).npv.tobytes() == expected[at : at + 1].tobytes()


class Rows:
    def __init__(self, rates):
        self.rates, self.count = rates, len(rates)

    def block(self, start, stop):
        return self.rates[start:stop]


@pytest.mark.parametrize("stream", ["philox", "mt19937_64"])
@given(count=st.integers(1, 40))
@settings(max_examples=10, deadline=None)
def test_fewer_scenarios_are_a_prefix(models, tmp_path_factory, stream, count):
    root = write_model(tmp_path_factory.mktemp("prefix"), POLICIES[:5], SCENARIOS)
    config = load_config(root)

    def npv(n):
        changed = replace(config, scenarios=Scenarios(None, n, 42, stream))
        return value(load_model(root, changed), Plan(1, 7)).npv

    assert npv(count).tobytes() == npv(40)[:count].tobytes()


@pytest.mark.parametrize("way", ["fixed", "dynamic"])
def test_groups_and_policies_agree(models, way):
    """Two ways to the portfolio's value: groups of lives, and one policy after the other."""
    model = models[way]
    matrix = values(model.policies, model.basis, curves(model.rates.block(0, 23)))
    total = ExactSum((23,))
    total.add(matrix)
    np.testing.assert_allclose(value(model, Plan()).npv, total.value(), rtol=1e-12)


def test_parts_add_up_to_the_whole(models):
    model = models["fixed"]
    output = OutputOptions(breakdown=("region",))
    result = value(replace(model, config=replace(model.config, output=output)), Plan())
    assert {part.word for part in result.parts} == {"north", "south", "Österreich"}
    np.testing.assert_allclose(result.part_npv.sum(axis=0), result.npv, rtol=1e-12)


PLACES = {**places.PROCESSORS, "the same": {}}


@pytest.mark.parametrize("place", PLACES)
def test_other_processors(place):
    """A process that is denied instructions gives the hashes of this one."""
    expected = golden_set.fingerprints(golden_set.GOLDEN, every_way=False)
    script = (
        "import json; from engine.parity.golden_set import GOLDEN, fingerprints;"
        "from engine.valuation import capabilities;"
        "print(json.dumps([fingerprints(GOLDEN, every_way=False),"
        " capabilities.simd()['in_use']]))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        env=os.environ | PLACES[place],
        capture_output=True,
        check=True,
    )
    found, in_use = json.loads(done.stdout)
    assert found == expected
    denied = PLACES[place].get("NPY_DISABLE_CPU_FEATURES", "").split()
    assert not set(in_use) & set(denied)


def test_the_hashes_that_every_machine_has_to_give():
    assert golden_set.fingerprints(golden_set.GOLDEN) == golden_set.known_hashes()


def test_the_verdict_on_this_machine(monkeypatch):
    assert verdict().document() | {"seconds": 0} == {"parity": "pass", "failed": [], "seconds": 0}
    known = golden_set.known_hashes() | {"term_life_100x10, philox": "0" * 64}
    monkeypatch.setattr("engine.parity.verdict.known_hashes", lambda: known)
    misaligned = {"required": 16, "verified": False, "found": 8}
    monkeypatch.setattr("engine.parity.verdict.alignment", lambda: misaligned)
    found = verdict().document()
    assert found["parity"] == "fail"
    assert found["failed"] == [
        "alignment: numpy's buffers start at multiples of 8 bytes",
        "term_life_100x10, philox: another hash",
    ]


def test_parity_takes_a_set_as_a_zip():
    import io

    package = golden_set.to_zip(golden_set.GOLDEN)
    assert golden_set.from_zip(io.BytesIO(package)) == golden_set.fingerprints(golden_set.GOLDEN)


def test_parity_says_where_hashes_differ(monkeypatch):
    own = {"a": "1", "b": "2"}
    monkeypatch.setattr(places, "fingerprints", lambda golden: own)
    answer = [sys.executable, "-c", 'print(\'{"a": "1", "b": "3"}\')']
    assert places.compared("x", own, answer, b"", {}) == places.Comparison("x", ("b",))
    failing = [sys.executable, "-c", "raise SystemExit('broken')"]
    assert places.compared("x", own, failing, b"", {}).error == "broken"
