"""What is refused in the files of a model: by file, row, column and value."""

import json
import math
import random

import numpy as np
import pytest
from engine_inputs import ROW, messages, policies_of
from engine_models import HEADER, make_policies, make_scenarios, write_lines, write_model

from engine.errors import Problem, RequestError
from engine.model.config import parse_config
from engine.model.model import load_model
from engine.model.policies import SCHEMA, load_policies
from engine.scenarios.rates import load_rates


def write(path, lines):
    write_lines(path, lines)
    return path


@pytest.fixture
def root(tmp_path):
    return write_model(tmp_path / "model", make_policies(5), make_scenarios(2))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("1,x,M,1,1,20,Term,Standard", "column age: 'x' is not a number"),
        ("1,,M,1,1,20,Term,Standard", "column age: '' is empty: a number is required"),
        ("1,40.5,M,1,1,20,Term,Standard", "column age: '40.5' is not an integer"),
        ("1,121,M,1,1,20,Term,Standard", "column age: '121' is out of range: at least 0 and at"),
        ("1,-1,M,1,1,20,Term,Standard", "column age: '-1' is out of range"),
        ("1,40,X,1,1,20,Term,Standard", "column gender: 'X' is not one of m, f, male"),
        ("1,40,M,-5,1,20,Term,Standard", "column sum_assured: '-5' is out of range: at least 0"),
        ("1,40,M,nan,1,20,Term,Standard", "column sum_assured: 'nan' is not a number"),
        ("1,40,M,1,1e999,20,Term,Standard", "column premium: '1e999' is not a finite number"),
        ("1,40,M,1,0x10,20,Term,Standard", "column premium: '0x10' is not a number"),
        ("1,40,M,1,1_0,20,Term,Standard", "column premium: '1_0' is not a number"),
        ("1,40,M,1,.,20,Term,Standard", "column premium: '.' is not a number"),
        ("1,40,M,1,1.2.3,20,Term,Standard", "column premium: '1.2.3' is not a number"),
        ("1,40,M,1,1,0,Term,Standard", "column term: '0' is out of range"),
        ("1,40,M,1,1,20,Whole,Standard", "column product_type: 'Whole' is not one of Term, Whole"),
        ("1,40,M,1,1,20,Term,None", "column underwriting_class: 'None' is not one of Standard"),
        (",40,M,1,1,20,Term,Standard", "column policy_id: '' is empty"),
        ("1,40,M,1,1,20,Term", "column underwriting_class: '1,40,M,1,1,20,Term' truncated row"),
        ("1,40,M,1,1,20,Term,Standard,9", "too many fields: 9 fields where the header has 8"),
        ("", "the row is empty"),
        ('1,40,"M,1,1,20,Term,Standard', "is not valid CSV"),
        ('1,40,"M"x,1,1,20,Term,Standard', "is not valid CSV"),
    ],
)
def test_bad_rows(tmp_path, row, message):
    lines = [HEADER, "2" + ROW[1:], row, "3" + ROW[1:]]
    found = messages(policies_of, tmp_path / "p.csv", "\n".join(lines) + "\n")
    assert found[0].startswith("policies.csv, row 3")
    assert message in found[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "row 1: the file is empty"),
        ("\n" + HEADER, "row 1: has no header"),
        (HEADER, "row 2: has no rows"),
        (HEADER + "\n", "row 2: has no rows"),
        (HEADER.replace("age,", "") + "\n", "row 1, column age: column is missing"),
        (HEADER + ",age\n", "row 1, column age: column appears twice"),
        (HEADER + ",\n", "row 1: column 9 has no name"),
    ],
)
def test_bad_files(tmp_path, text, message):
    assert messages(policies_of, tmp_path / "p.csv", text)[0] == f"policies.csv, {message}" or (
        messages(policies_of, tmp_path / "p.csv", text)[0].startswith(f"policies.csv, {message}")
    )


@pytest.mark.parametrize(
    ("separator", "word"), [(";", "semicolons"), ("\t", "tabs"), ("|", "vertical bars")]
)
@pytest.mark.parametrize("file", ["policies_0", "mortality", "lapse", "expenses", "scenarios"])
def test_other_separators_get_a_hint(root, file, separator, word):
    path = root / f"{file}.csv"
    path.write_text(path.read_text().replace(",", separator).replace(".", ","))
    assert messages(load_model, root) == [
        f"{file}.csv, row 1: the columns are separated by {word} instead of commas: "
        "save the file as CSV with commas, and with decimal points"
    ]


def test_a_line_that_names_a_separator_gets_the_hint(tmp_path):
    found = messages(policies_of, tmp_path / "p.csv", f"sep=;\n{HEADER}\n{ROW}\n")
    assert "row 1: the columns are separated by semicolons" in found[0]


def test_a_name_is_called_by_its_kind():
    for file, kind in (("model.toml", "setting"), ("a.json", "setting"), ("h.py", "function")):
        assert str(Problem(file, "is wrong", column="x")) == f"{file}, {kind} x: is wrong"
    assert str(Problem("a.csv", "is wrong", column="x")) == "a.csv, column x: is wrong"
    assert str(Problem("a.json", "is wrong", 2, "x")) == "a.json, row 2, column x: is wrong"


def test_text_that_is_not_utf8(tmp_path):
    text = f"{HEADER},city\n{ROW},Köln\n"
    assert "row 2: is not UTF-8" in messages(policies_of, tmp_path / "p.csv", text, "latin-1")[0]
    assert policies_of(tmp_path / "p.csv", text).words("city").tolist() == ["Köln"]


def test_duplicate_ids_name_both_rows_and_files(tmp_path):
    files = []
    for name, ids in {"a.csv": "x y x", "b.csv": "z y"}.items():
        write_lines(tmp_path / name, [HEADER, *(i + ROW[1:] for i in ids.split())])
        files.append((tmp_path / name, name))
    assert messages(load_policies, files[:1]) == [
        "a.csv, row 4, column policy_id: 'x' is a duplicate id: it is also in a.csv, row 2"
    ]
    write_lines(tmp_path / "a.csv", [HEADER, "x" + ROW[1:], "y" + ROW[1:]])
    assert messages(load_policies, files) == [
        "b.csv, row 3, column policy_id: 'y' is a duplicate id: it is also in a.csv, row 3"
    ]


def test_the_first_twenty_mistakes_are_told(tmp_path):
    lines = [HEADER, *(f"{i},x,M,1,1,20,Term,Standard" for i in range(30))]
    found = messages(policies_of, tmp_path / "p.csv", "\n".join(lines))
    assert len(found) == 21
    assert found[19].startswith("policies.csv, row 21, ")
    assert found[20] == "… and 10 more"


def test_mistakes_of_all_files_are_told_at_once(root):
    (root / "lapse.csv").write_text("year,lapse_rate\n1,2\n")
    (root / "expenses.csv").write_text("name,value\nrent,1\n")
    (root / "policies_0.csv").write_text("")
    found = messages(load_model, root)
    assert [line.split(",")[0] for line in found] == [
        "lapse.csv", "expenses.csv", "expenses.csv", "expenses.csv", "expenses.csv",
        "expenses.csv", "policies_0.csv",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("mortality.csv", "\n50,", "\n51,", "column age: '51' appears twice, also in row 52"),
        ("mortality.csv", "\n50,", "\n151,", "row 52, column age: '151' is out of range"),
        ("mortality.csv", "female_qx", "women", "row 1, column women: unknown column"),
        ("mortality.csv", "\n5,0.0", "\n5,1.0", "row 7, column male_qx: '1.0"),
        ("lapse.csv", "\n7,", "\n8,", "column year: '7' is missing"),
        ("lapse.csv", "\n7,0", "\n7,nan", "row 8, column lapse_rate: 'nan"),
        ("expenses.csv", "claim_expense", "claims", "row 5, column name: 'claims' is not one of"),
        ("expenses.csv", "0.06", "6", "column value: '6.0' is out of range: at most 1"),
        ("scenarios.csv", ",year_50", ",year_51", "column year_50: column is missing"),
        ("scenarios.csv", "\n2,", "\n1,", "row 3, column scenario_id: '1' is a duplicate id"),
        ("scenarios.csv", "\n2,", "\n2,-1", "row 3, column year_1: '-1"),
    ],
)
def test_bad_assumptions_and_scenarios(root, file, old, new, message):
    path = root / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    found = messages(load_model, root)
    assert any(line.startswith(file) and message in line for line in found), found


def test_long_scenarios_are_the_wide_ones(root, tmp_path):
    wide = load_rates(root / "scenarios.csv", "s")
    cells = [(s, y, float(wide[s, y])) for s in range(2) for y in range(50)]
    random.Random(1).shuffle(cells)
    cells.sort(key=lambda cell: cell[0])
    lines = ["year,rate,scenario_id", *(f"{y + 1},{r!r},s{s}" for s, y, r in cells)]
    write_lines(tmp_path / "long.csv", lines)
    assert load_rates(tmp_path / "long.csv", "s").tobytes() == wide.tobytes()
    gap = messages(load_rates, write(tmp_path / "gap.csv", lines[:-1]), "s")
    assert gap == [f"s, column year: '{cells[-1][1] + 1}' is missing in scenario 's1'"]
    twice = messages(load_rates, write(tmp_path / "twice.csv", [*lines, lines[-1]]), "s")
    assert twice == [
        f"s, row 102, column year: '{cells[-1][1] + 1}' appears twice in scenario 's1'"
    ]


def test_parquet_is_read_like_csv(root, tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    csv = pytest.importorskip("pyarrow.csv")
    parquet = pytest.importorskip("pyarrow.parquet")
    for name in ("policies_0", "mortality", "lapse", "expenses", "scenarios"):
        table = csv.read_csv(root / f"{name}.csv")
        parquet.write_table(table, root / f"{name}.parquet")
    config = json.loads((root / "livecalc.config.json").read_text())
    text = json.dumps(config).replace(".csv", ".parquet")
    first = load_model(root)
    (root / "livecalc.config.json").write_text(text)
    second = load_model(root)
    assert second.rates.block(0, 2).tobytes() == first.rates.block(0, 2).tobytes()
    assert second.policies.policy_id.tolist() == first.policies.policy_id.tolist()
    assert second.policies.premium.tobytes() == first.policies.premium.tobytes()
    assert (second.policies.words("region") == first.policies.words("region")).all()
    bad = pyarrow.table({"year": [1, 2, None], "lapse_rate": [0.1, 7.0, math.nan]})
    parquet.write_table(bad, root / "lapse.parquet")
    assert messages(load_model, root) == [
        "lapse.parquet, row 4, column year: '' is empty: a number is required",
        "lapse.parquet, row 3, column lapse_rate: '7.0' is out of range: at least 0 and at most 1",
        "lapse.parquet, row 4, column lapse_rate: 'nan' is not a number",
    ]
    (root / "lapse.parquet").write_bytes(b"PAR1 not really")
    assert "is not a Parquet file" in messages(load_model, root)[0]


def test_more_scenarios_than_a_file_has(root):
    config = parse_config(json.loads((root / "livecalc.config.json").read_text()), "x")
    from engine.output.run import Changes

    with pytest.raises(RequestError, match=r"3 scenarios were requested, but scenarios.csv has 2"):
        load_model(root, Changes(scenarios=3).apply(config))
    assert load_model(root, Changes(scenarios=1).apply(config)).rates.count == 1


def test_every_column_of_policies_is_known_by_the_specification():
    assert ",".join(SCHEMA.columns) == HEADER
    assert np.dtype(SCHEMA.columns["age"].dtype) == np.int16
