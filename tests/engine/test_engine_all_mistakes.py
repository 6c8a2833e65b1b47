"""All mistakes of a file are told at once: those of its keys beside those of its values."""

import pytest
from engine_models import make_policies, make_scenarios, write_model

from engine.errors import ModelError
from engine.model.model import load_model


@pytest.fixture
def root(tmp_path):
    return write_model(tmp_path / "model", make_policies(30), make_scenarios(4))


def change(path, *replacements):
    text = path.read_text()
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new, 1)
    path.write_text(text)


def mistakes(root):
    with pytest.raises(ModelError) as caught:
        load_model(root)
    return [str(problem) for problem in caught.value.problems], caught.value.more


def test_policies(root):
    """A wrong value, a duplicate id, a truncated row, and another duplicate, by row."""
    path = root / "policies_0.csv"
    lines = path.read_text().splitlines()
    lines[2] = lines[2].replace(",Standard,", ",Standart,")
    lines[4] = lines[4].replace("4,", "1,", 1)
    lines[6] = lines[6][:-12]
    lines[8] = lines[8].replace("8,", "7,", 1)
    path.write_text("\n".join(lines))
    found, more = mistakes(root)
    assert [line.split(":")[0] for line in found] == [
        "policies_0.csv, row 3, column underwriting_class",
        "policies_0.csv, row 5, column policy_id",
        found[2].split(":")[0],
        "policies_0.csv, row 9, column policy_id",
    ]
    assert "row 7" in found[2]
    assert found[1].endswith("'1' appears twice, also in row 2")
    assert more == 0


def test_the_first_twenty_by_row(root):
    path = root / "policies_0.csv"
    path.write_text(path.read_text().replace(",Standard,", ",Standart,"))
    change(path, ("\n3,", "\n2,"))
    found, more = mistakes(root)
    assert (len(found), more) == (20, 11)
    assert found[3] == "policies_0.csv, row 4, column policy_id: '2' appears twice, also in row 3"


def test_tables(root):
    change(root / "mortality.csv", ("\n50,0.", "\n50,7."), ("\n60,", "\n61,"))
    change(root / "lapse.csv", ("\n3,0.", "\n3,-0."), ("\n50,", "\n49,"))
    change(root / "expenses.csv", ("42.0", "NaN"), ("claim_expense", "percent_of_premium"))
    change(root / "scenarios.csv", ("\n2,", "\n1,"), ("\n3,0.", "\n3,-9."))
    found = "\n".join(mistakes(root)[0])
    for message in (
        "mortality.csv, row 52, column male_qx: '7.",
        "mortality.csv, row 63, column age: '61' appears twice, also in row 62",
        "mortality.csv, column age: '60' is missing",
        "lapse.csv, row 4, column lapse_rate: '-0.",
        "lapse.csv, row 51, column year: '49' appears twice",
        "lapse.csv, column year: '50' is missing",
        "expenses.csv, row 3, column value: 'NaN' is not a number",
        "expenses.csv, row 5, column name: 'percent_of_premium' appears twice",
        "scenarios.csv, row 3, column scenario_id: '1' appears twice",
        "scenarios.csv, row 4, column year_1: '-9.",
    ):
        assert message in found


def test_long_scenarios(root):
    cells = [(s, y) for s in (1, 2) for y in range(1, 51)] + [(2, 7)]
    lines = [f"{s},{y},{'nan' if y == 9 else 0.03}" for s, y in cells]
    (root / "scenarios.csv").write_text("\n".join(["scenario_id,year,rate", *lines]))
    found = mistakes(root)[0]
    assert len(found) == 3
    assert found[2] == "scenarios.csv, row 102, column year: '7' appears twice, also in row 58"
