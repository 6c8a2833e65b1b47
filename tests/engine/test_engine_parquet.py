"""Parquet files as other programs write them, and damaged ones."""

import json
import random

import pytest
from engine_models import make_policies, make_scenarios, write_model

from engine.command.commands import main

pyarrow = pytest.importorskip("pyarrow")
csv = pytest.importorskip("pyarrow.csv")
parquet = pytest.importorskip("pyarrow.parquet")

COUNT = 20


@pytest.fixture
def root(tmp_path):
    return write_model(tmp_path / "model", make_policies(COUNT), make_scenarios(3))


@pytest.fixture
def policies(root):
    return csv.read_csv(root / "policies_0.csv")


def change(root, **settings):
    path = root / "livecalc.config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))


def result(root, capsys):
    assert main(["run", str(root), "--json"]) == 0
    return json.loads(capsys.readouterr().out)["result_hash"]


def with_column(table, name, values):
    place = table.column_names.index(name)
    return table.set_column(place, name, values)


def write(root, table):
    parquet.write_table(table, root / "policies.parquet")
    change(root, policies="policies.parquet")


@pytest.mark.parametrize(
    "variant",
    [
        lambda t: t,
        lambda t: t.select(t.column_names[::-1]),
        lambda t: with_column(t, "region", t["region"].dictionary_encode()),
        lambda t: with_column(t, "age", t["age"].cast("float64")),
        lambda t: with_column(t, "age", t["age"].cast("int8")),
        lambda t: with_column(t, "term", t["term"].cast("string")),
        lambda t: with_column(t, "policy_id", t["policy_id"].cast("string")),
    ],
)
def test_columns_of_any_type(root, policies, capsys, variant):
    expected = result(root, capsys)
    write(root, variant(policies))
    assert result(root, capsys) == expected


def test_all_tables(root, capsys):
    expected = result(root, capsys)
    names = ("mortality", "lapse", "expenses")
    for name in (*names, "scenarios"):
        parquet.write_table(csv.read_csv(root / f"{name}.csv"), root / f"{name}.parquet")
    change(root, assumptions={name: f"{name}.parquet" for name in names})
    change(root, scenarios={"file": "scenarios.parquet"})
    assert result(root, capsys) == expected


def test_long_scenarios(root, capsys):
    expected = result(root, capsys)
    rows = csv.read_csv(root / "scenarios.csv").to_pylist()
    cells = [
        (row["scenario_id"], year, row[f"year_{year}"]) for row in rows for year in range(1, 51)
    ]
    columns = dict(zip(("scenario_id", "year", "rate"), zip(*cells, strict=True), strict=True))
    parquet.write_table(pyarrow.table(columns), root / "long.parquet")
    change(root, scenarios={"file": "long.parquet"})
    assert result(root, capsys) == expected


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("age", [None, *[30] * 19], "row 2, column age: '' is empty"),
        ("age", [*[30] * 19, 121], "row 21, column age: '121' is out of range"),
        ("age", [*[30.0] * 19, 30.5], "row 21, column age: '30.5' is not an integer"),
        ("premium", [float("nan"), *[1.0] * 19], "row 2, column premium: 'nan' is not a number"),
        ("premium", [float("inf"), *[1.0] * 19], "row 2, column premium: 'inf' is not a number"),
        ("policy_id", [1] * COUNT, "row 3, column policy_id: '1' is a duplicate id"),
        ("region", [[1]] * COUNT, "row 2, column region: contains nested values"),
        ("gender", [True] * COUNT, "row 2, column gender: 'True' is not one of"),
    ],
)
def test_mistakes(root, policies, capsys, column, values, message):
    write(root, with_column(policies, column, pyarrow.array(values)))
    assert main(["validate", str(root)]) == 1
    assert capsys.readouterr().err.startswith(f"policies.parquet, {message}")


def test_damaged_files(root, policies, capsys):
    write(root, policies)
    path = root / "policies.parquet"
    content = path.read_bytes()
    source = random.Random(1)
    for _ in range(60):
        damaged = bytearray(content)
        for _ in range(3):
            damaged[source.randrange(len(damaged))] = source.randrange(256)
        path.write_bytes(damaged)
        assert main(["validate", str(root)]) in (0, 1)  # there is no checksum of the values
        assert "Traceback" not in capsys.readouterr().err
