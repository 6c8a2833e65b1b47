"""Input that is valid and gives other values than its user expects: refused, or warned of."""

import json
import math

import numpy as np
import pytest
from engine_models import make_inputs, make_policies, make_scenarios, write_model

from ci_client.command.model_results import read_results, statistics_table
from engine.command.commands import main
from engine.model.cautions import cautions
from engine.model.model import load_model
from engine.output.run import Changes, Request, run

USUAL = {"product_type": "Term", "age": 40, "term": 20}


def model(tmp_path, scenarios=None, count=3, **changes):
    policies = make_policies(count, **(USUAL | changes))
    return write_model(tmp_path / "model", policies, scenarios or make_scenarios(2))


def change(root, **settings):
    path = root / "livecalc.config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))


def test_endowments_are_refused_unless_accepted(tmp_path, capsys):
    root = model(tmp_path, product_type="Endowment")
    for output in ({}, {"acceptNoMaturity": False}):
        change(root, output=output)
        for command in ("validate", "run"):
            assert main([command, str(root)]) == 1
            error = capsys.readouterr().err
            assert "output.acceptNoMaturity" in error
            assert "the number of endowments is 3" in error
            assert "set output.acceptNoMaturity = true" in error
    change(root, output={"acceptNoMaturity": True})
    accepted = run(Request(root, Changes()))
    term = run(Request(model(tmp_path / "term"), Changes()))
    assert accepted.document == term.document


def test_it_is_told_with_other_mistakes_of_the_output(tmp_path, capsys):
    root = model(tmp_path, product_type="Endowment")
    change(root, output={"breakdown": ["colour"]})
    assert main(["validate", str(root)]) == 1
    error = capsys.readouterr().err
    assert "colour" in error
    assert "acceptNoMaturity" in error


def test_an_endowment_is_worth_far_less_than_it_would_cost(tmp_path):
    """What the refusal is for: age 40, 20 years, 5 %, net premium of an endowment of 1."""
    inputs = make_inputs(lapse=[0.0] * 50, expenses=dict.fromkeys(make_inputs().expenses, 0.0))
    policy = make_policies(1, age=40, term=20, gender=0, sum_assured=1e6, premium=0.0)
    root = write_model(tmp_path / "m", policy, [[0.05] * 50], inputs)
    paid = -run(Request(root, Changes())).valuation.npv[0]
    alive = math.prod(1 - inputs.mortality[40 + year][0] for year in range(20))
    assert (paid + 1e6 * alive * 1.05**-20) / paid > 4


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, None),
        ({"term": 50}, None),
        ({"term": 51}, "3 policies have a term of more than 50 years"),
        ({"product_type": "WholeLife", "term": 80}, "3 whole-life policies end before age"),
        ({"product_type": "WholeLife", "term": 20}, "3 whole-life policies end before age"),
        ({"product_type": "WholeLife", "age": 70, "term": 51}, "end before age 120"),
        ({"product_type": "WholeLife", "age": 71, "term": 51}, None),
        ({"product_type": "WholeLife", "age": 100, "term": 20}, "end before age 120"),
        ({"product_type": "WholeLife", "age": 100, "term": 21}, None),
    ],
)
def test_policies_that_are_cut_off(tmp_path, changes, sentence):
    found = cautions(load_model(model(tmp_path, **changes)))
    assert [sentence in text for text in found] == ([True] if sentence else [])


@pytest.mark.parametrize(
    ("rate", "sentence"),
    [
        (0.5, None), (-0.2, None), (3.5, "from 3 % to 350 % a year"),
        (0.51, "to 51 % a year"), (-0.21, "from -21 % to 3 % a year"),
    ],
)  # fmt: skip
def test_rates_that_are_no_fractions(tmp_path, rate, sentence):
    scenarios = [[0.03] * 50, [0.03] * 49 + [rate]]
    found = cautions(load_model(model(tmp_path, scenarios)))
    assert [sentence in text for text in found] == ([True] if sentence else [])


@pytest.mark.parametrize("stream", ["philox", "mt19937_64"])
def test_generated_rates(tmp_path, monkeypatch, stream):
    monkeypatch.setattr("engine.model.cautions.BLOCK", 7)
    root = model(tmp_path)
    generated = {"count": 40, "rng": stream}
    change(root, scenarios=generated | {"interestRate": {"initial": 3.5, "maxRate": 10}})
    rates = load_model(root).rates.block(0, 40)
    (found,) = cautions(load_model(root))
    assert f"from {100 * np.min(rates):.4g} % to {100 * np.max(rates):.4g} %" in found
    change(root, scenarios=generated | {"interestRate": {"initial": 0.04, "maxRate": 10}})
    assert cautions(load_model(root)) == ()


def test_where_warnings_are_shown(tmp_path, capsys):
    """In the table, in results.json, by `validate`, in the picture, and by `ci submit engine`."""
    pytest.importorskip("matplotlib")
    root = model(tmp_path, [[3.5] * 50, [3.4] * 50], product_type="WholeLife")
    output, plot = tmp_path / "out", tmp_path / "plot.svg"
    assert main(["run", str(root), "--output", str(output), "--plot", str(plot)]) == 0
    lines = [text for text in capsys.readouterr().out.splitlines() if text.startswith("Warning: ")]
    document = read_results(output / "results.json")
    assert lines == [f"Warning: {text}" for text in document["warnings"]]
    assert len(lines) == 2
    assert all(line in statistics_table(document) for line in lines)
    assert "<!-- Warning: 3 whole-life policies" in plot.read_text()
    assert main(["run", str(root), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == document
    assert main(["validate", str(root)]) == 0
    assert capsys.readouterr().err.splitlines() == lines


def test_warnings_do_not_change_the_hash(tmp_path):
    """They are words: a result stays what it was before they were there."""
    whole = run(Request(model(tmp_path, product_type="WholeLife"), Changes())).document
    term = run(Request(model(tmp_path / "term"), Changes())).document
    assert "warnings" in whole
    assert "warnings" not in term
    assert whole["result_hash"] == term["result_hash"]
