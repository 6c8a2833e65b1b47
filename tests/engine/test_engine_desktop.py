"""Models of the desktop extension are read where they mean the same, and it is said where not."""

import json
import math

import pytest
from engine_inputs import messages
from engine_models import make_policies, make_scenarios, write_lines, write_model
from hypothesis import given
from hypothesis import strategies as st

from engine.command.commands import main
from engine.model.assumptions import filled, load_lapse, load_mortality
from engine.model.cautions import cautions
from engine.model.model import load_model
from engine.output.run import Changes, Request, run

EXPENSES = {
    "perPolicyAcquisition": 350,
    "perPolicyMaintenance": 42.0,
    "percentOfPremium": 0.06,
    "perClaim": 180.0,
}


@pytest.fixture
def root(tmp_path):
    return write_model(tmp_path / "model", make_policies(20), make_scenarios(4))


def change(root, **settings):
    path = root / "livecalc.config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))


def replace(path, *pairs):
    text = path.read_text()
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)


def assumptions(root, **changes):
    document = json.loads((root / "livecalc.config.json").read_text())
    change(root, assumptions=document["assumptions"] | changes)


def test_the_same_numbers_in_the_extensions_words(root, capsys):
    expected = run(Request(root, Changes())).document
    replace(root / "mortality.csv", ("male_qx,female_qx", "male,female"))
    replace(root / "lapse.csv", ("lapse_rate", "rate"))
    (root / "expenses.json").write_text(json.dumps(EXPENSES))
    replace(
        root / "policies_0.csv",
        (",underwriting_class", ""), (",Standard", ""), ("WholeLife", "WHOLELIFE"),
        (",Term", ",term"), ("Endowment", "endowment"),
    )  # fmt: skip
    assumptions(root, expenses="local://expenses.json")
    change(root, execution={"autoRunOnSave": True, "timeout": 300, "maxPolicies": 100_000})
    change(root, model="models/my.mga")
    found = run(Request(root, Changes()))
    assert found.document["result_hash"] == expected["result_hash"]
    assert found.document["warnings"][1:] == expected.get("warnings", [])
    sentence = "models/my.mga is not read: the model is valued as term_life."
    assert found.document["warnings"][0] == sentence
    assert main(["validate", str(root)]) == 0
    assert sentence in capsys.readouterr().err
    assert set(found.policies.words("underwriting_class")) == {"Standard"}
    assert set(found.policies.words("product_type")) == {"Term", "WholeLife", "Endowment"}


def test_a_portfolio_without_classes_can_be_split_by_them_and_seen_by_hooks(root):
    replace(root / "policies_0.csv", (",underwriting_class", ""), (",Standard", ""))
    change(root, hooks="h.py")
    change(root, output={"breakdown": ["underwriting_class"], "acceptNoMaturity": True})
    (root / "h.py").write_text(
        "def adjust_lapse(policies, year, lives, rates):\n"
        "    assert (policies.underwriting_class == 'Standard').all()\n    return 1\n"
    )
    (part,) = run(Request(root, Changes())).valuation.parts
    assert (part.attribute, part.word) == ("underwriting_class", "Standard")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "my.mgx"}, "setting model: 'my.mgx' is not one of term_life, *.mga"),
        ({"model": ["a.mga"]}, "setting model"),
        ({"execution": {"autoRunOnSave": "yes"}}, "execution.autoRunOnSave: 'yes' is not true"),
        ({"execution": {"timeout": 0}}, "execution.timeout: '0' is not an integer"),
        ({"execution": {"maxPolicies": 19}}, "'19' is less than the 20 policies of the model"),
        ({"extends": "base.json"}, "setting extends: unknown setting"),
        ({"pipeline": {"nodes": []}}, "setting pipeline: unknown setting"),
    ],
)
def test_what_does_not_mean_the_same_is_refused(root, settings, message):
    change(root, **settings)
    assert message in messages(load_model, root)[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "expenses.json: cannot be read"),
        ("[" * 100_000, "expenses.json: cannot be read"),
        ("[]", "expenses.json: '[]' is not a section of settings"),
        (json.dumps(EXPENSES | {"perClaim": None}), "setting perClaim: is missing"),
        (json.dumps(EXPENSES | {"perClaim": -1}), "setting perClaim: '-1' is not a number from 0"),
        (json.dumps(EXPENSES | {"percentOfPremium": 6}), "'6' is not a number from 0 to 1"),
        (json.dumps(EXPENSES | {"perYear": 1}), "setting perYear: unknown setting"),
    ],
)
def test_bad_expenses_in_json(root, text, message):
    (root / "expenses.json").write_text(text)
    assumptions(root, expenses="expenses.json")
    assert message in messages(load_model, root)[0]


def test_both_names_of_a_column_are_one_too_many(root):
    replace(root / "lapse.csv", ("lapse_rate", "rate,lapse_rate"))
    assert messages(load_model, root) == [
        "lapse.csv, row 1, column lapse_rate: column appears twice"
    ]


def test_aliases_in_parquet(root):
    csv = pytest.importorskip("pyarrow.csv")
    parquet = pytest.importorskip("pyarrow.parquet")
    expected = load_model(root).basis.assumptions
    replace(root / "mortality.csv", ("male_qx,female_qx", "male,female"))
    parquet.write_table(csv.read_csv(root / "mortality.csv"), root / "mortality.parquet")
    assumptions(root, mortality="mortality.parquet")
    found = load_model(root).basis.assumptions
    assert found.mortality.tobytes() == expected.mortality.tobytes()


def sparse(root):
    lines = ["age,male,female", "20,0.001,0.0005", "60,0.01,0.008", "100,0.3,0.25"]
    write_lines(root / "mortality.csv", lines)
    write_lines(root / "lapse.csv", ["year,rate", "5,0.04", "1,0.1"])


def test_gaps_are_refused_with_what_fills_them(root):
    sparse(root)
    found = messages(load_model, root)
    hint = 'is missing: add it, or set assumptions.interpolate = "linear" or "step"'
    assert found[0] == f"mortality.csv, column age: '0' {hint}"
    assert f"lapse.csv, column year: '2' {hint}" in found
    assumptions(root, interpolate="spline")
    assert (
        "assumptions.interpolate: 'spline' is not one of linear, step"
        in messages(load_model, root)[0]
    )


def test_gaps_are_filled(root):
    sparse(root)
    assumptions(root, interpolate="linear")
    found = load_model(root).basis.assumptions
    assert found.mortality[0, [0, 20, 30, 60, 100, 120]].tolist() == pytest.approx(
        [0.001, 0.001, 0.001 + 0.009 / 4, 0.01, 0.3, 0.3], rel=1e-15
    )
    assert found.lapse[:6].tolist() == pytest.approx([0.1, 0.085, 0.07, 0.055, 0.04, 0.04])
    assumptions(root, interpolate="step")
    found = load_model(root).basis.assumptions
    assert found.mortality[1, [0, 20, 59, 60, 99, 120]].tolist() == [
        0.0005, 0.0005, 0.0005, 0.008, 0.008, 0.25
    ]  # fmt: skip
    assert found.lapse[:6].tolist() == [0.1, 0.1, 0.1, 0.1, 0.04, 0.04]


def test_a_whole_table_is_not_changed_by_it(root):
    expected = load_model(root).basis.assumptions
    for way in ("linear", "step"):
        assumptions(root, interpolate=way)
        found = load_model(root).basis.assumptions
        assert found.mortality.tobytes() == expected.mortality.tobytes()
        assert found.lapse.tobytes() == expected.lapse.tobytes()


@pytest.mark.parametrize("way", ["linear", "step"])
def test_keys_that_come_twice_are_refused_in_sparse_tables(root, way):
    sparse(root)
    write_lines(root / "lapse.csv", ["year,rate", "5,0.04", "5,0.1"])
    assumptions(root, interpolate=way)
    found = messages(load_model, root)
    assert found == ["lapse.csv, row 3, column year: '5' appears twice, also in row 2"]
    write_lines(root / "lapse.csv", ["year,rate", "5,0.04", "5,7"])
    assert len(messages(load_model, root)) == 2
    assert load_mortality(root / "mortality.csv", "m", way).shape == (2, 121)


@given(
    st.dictionaries(st.integers(1, 50), st.floats(0, 1), min_size=1),
    st.sampled_from(["linear", "step"]),
)
def test_filled_tables_stay_between_their_neighbours(table, way):
    rows = {key: row for row, key in enumerate(table)}
    found = filled(rows, list(table.values()), range(1, 51), way)
    for key, value in enumerate(found, 1):
        below = [table[k] for k in sorted(table) if k <= key][-1:]
        above = [table[k] for k in sorted(table) if k >= key][:1]
        known = below + above
        assert min(known) <= value <= max(known) or math.isclose(value, known[0])
        assert 0 <= value <= 1
        assert value == table.get(key, value)
        assert way != "step" or value == (below or above)[0]


def test_nothing_is_said_of_a_model_of_this_engine(tmp_path):
    policies = make_policies(3, product_type="Term", term=20)
    root = write_model(tmp_path / "m", policies, make_scenarios(2))
    assert cautions(load_model(root)) == ()
    assert load_lapse(root / "lapse.csv", "l").shape == (50,)
