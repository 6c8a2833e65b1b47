"""What is read, and what is refused: by file, row, column and value."""

import hashlib
import json
import math
import random
import zipfile

import numpy as np
import pytest
from engine_models import HEADER, make_policies, make_scenarios, write_lines, write_model
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import fast_csv
from engine.columns import Identifier, Number, Text
from engine.config import parse_config
from engine.errors import ModelError, Problems, RequestError
from engine.model import load_model
from engine.package import opened
from engine.policies import SCHEMA, load_policies
from engine.rates import load_rates
from engine.rows import parse_rows, split

ROW = "1,40,M,100000,250.50,20,Term,Standard"


@pytest.fixture
def root(tmp_path):
    return write_model(tmp_path / "model", make_policies(5), make_scenarios(2))


def messages(work, *arguments, **named):
    with pytest.raises(ModelError) as caught:
        work(*arguments, **named)
    return str(caught.value).splitlines()


def policies_of(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return load_policies([(path, "policies.csv")])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("1,x,M,1,1,20,Term,Standard", "column age: 'x' is not a number"),
        ("1,,M,1,1,20,Term,Standard", "column age: '' is empty: a number is needed"),
        ("1,40.5,M,1,1,20,Term,Standard", "column age: '40.5' is not a whole number"),
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
        (HEADER + ",age\n", "row 1, column age: column is there twice"),
        (HEADER + ",\n", "row 1: column 9 has no name"),
    ],
)
def test_bad_files(tmp_path, text, message):
    assert messages(policies_of, tmp_path / "p.csv", text)[0] == f"policies.csv, {message}" or (
        messages(policies_of, tmp_path / "p.csv", text)[0].startswith(f"policies.csv, {message}")
    )


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
        ("mortality.csv", "\n50,", "\n51,", "column age: '51' is there twice, also in row 52"),
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
        f"s, row 102, column year: '{cells[-1][1] + 1}' is there twice in scenario 's1'"
    ]


def write(path, lines):
    write_lines(path, lines)
    return path


@pytest.mark.parametrize("spelling", ["M", "m", "Male", "MALE", "mAlE", "0"])
def test_spellings_of_gender(tmp_path, spelling):
    other = {"M": "F", "m": "f", "0": "1"}.get(spelling, "Fe" + spelling)
    rows = [f"1,40,{spelling}{ROW[6:]}", f"2,40,{other}{ROW[6:]}"]
    found = policies_of(tmp_path / "p.csv", "\n".join([HEADER, *rows]))
    assert found.gender.tolist() == [0, 1]


def test_unusual_but_valid_csv_is_what_it_means(tmp_path):
    """Any order of columns, quotes, line ends, spaces, exponents, a byte order mark."""
    text = (
        "\ufeffterm,policy_id,age,gender,sum_assured,premium,underwriting_class,product_type,note\r\n"
        '20,"a,1",40, male ,1e5,+250.50,Standard,Term,"two, parts"\r\n'
        '30,"say ""x""",41.0,1,100000.000000000000000001,.5,Smoker,WholeLife,\r\n\r\n\n'
    )
    found = policies_of(tmp_path / "p.csv", text)
    assert found.policy_id.tolist() == [b"a,1", b'say "x"']
    assert found.age.tolist() == [40, 41]
    assert found.sum_assured.tolist() == [100000.0, 100000.0]
    assert found.premium.tolist() == [250.5, 0.5]
    assert found.words("note").tolist() == ["two, parts", ""]
    assert found.product_type.tolist() == ["Term", "WholeLife"]


NUMBER = st.one_of(
    st.decimals(0, 10**9, places=2).map(str),
    st.integers(0, 10**14).map(str),
    st.floats(0, 1e14).map(repr),
    st.from_regex(r"[0-9]{0,9}\.?[0-9]{0,9}", fullmatch=True),
)
FIELD = st.tuples(
    st.text("abcXYZ019 _-é", min_size=1, max_size=20),
    NUMBER,
    st.text("abcdefghijklmnop ", max_size=20),
)


@given(st.lists(FIELD, min_size=1, max_size=8))
@settings(deadline=None)
def test_both_readers_read_the_same(fields):
    """Whatever the vectorised reader accepts, the careful one reads to the same values."""
    kinds = [Identifier(), Number(0), Text()]
    text = "".join(f"{a},{b},{c}\n" for a, b, c in fields)
    fast = fast_csv.parse_chunk(text.encode(), kinds)
    problems = Problems("x")
    slow = parse_rows(split(text), ["a", "b", "c"], kinds, 2, problems)
    if fast is None:
        return
    assert not problems
    assert [i.decode() for i in fast[0].tolist()] == slow[0]
    assert fast[1].tolist() == slow[1]
    codes, labels = fast[2][0]
    assert [labels[code] for code in codes] == slow[2]


@pytest.mark.parametrize(
    "text", ["0.1", "123456789.012345", "900719925474099.31", "0.3", "1e-5", "5."]
)
def test_numbers_are_correctly_rounded(tmp_path, text):
    rows = [HEADER, ROW.replace("250.50", text)]
    assert policies_of(tmp_path / "p.csv", "\n".join(rows)).premium.tolist() == [float(text)]


def test_large_files_keep_their_rows_in_order(tmp_path, monkeypatch):
    """Chunks of a few lines, some of them irregular, on threads."""
    monkeypatch.setattr("engine.table.CHUNK_BYTES", 200)
    lines = [
        f"{i},{i % 100},M,{i}.{'5' if i % 7 else '50e0'},1,20,Term,Standard,r{i % 9}"
        for i in range(500)
    ]
    write_lines(tmp_path / "p.csv", [HEADER + ",region", *lines])
    found = load_policies([(tmp_path / "p.csv", "p")], threads=3)
    assert found.policy_id.astype(int).tolist() == list(range(500))
    assert found.sum_assured.tolist() == [i + 0.5 for i in range(500)]
    assert found.words("region").tolist() == [f"r{i % 9}" for i in range(500)]
    lines[321] = "x,y"
    lines[400] = ""
    write_lines(tmp_path / "p.csv", [HEADER + ",region", *lines])
    found = messages(load_policies, [(tmp_path / "p.csv", "p")], threads=3)
    assert [line.split(":")[0] for line in found] == ["p, row 323, column gender", "p, row 402"]


def test_quotes_in_a_later_chunk(tmp_path, monkeypatch):
    monkeypatch.setattr("engine.table.CHUNK_BYTES", 200)
    monkeypatch.setattr("engine.table.BATCH_ROWS", 7)
    lines = [
        f"{i},40,M,1,1,20,Term,Standard,{'x' if i < 50 else chr(34) + 'a,b' + chr(34)}"
        for i in range(100)
    ]
    write_lines(tmp_path / "p.csv", [HEADER + ",note", *lines])
    found = load_policies([(tmp_path / "p.csv", "p")], threads=2)
    assert found.words("note").tolist() == ["x"] * 50 + ["a,b"] * 50
    lines[70] = lines[70].replace("40", "400")
    write_lines(tmp_path / "p.csv", [HEADER + ",note", *lines])
    assert "row 72, column age: '400'" in messages(load_policies, [(tmp_path / "p.csv", "p")])[0]


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
        "lapse.parquet, row 4, column year: '' is empty: a number is needed",
        "lapse.parquet, row 3, column lapse_rate: '7.0' is out of range: at least 0 and at most 1",
        "lapse.parquet, row 4, column lapse_rate: 'nan' is not a number",
    ]
    (root / "lapse.parquet").write_bytes(b"PAR1 not really")
    assert "is not a Parquet file" in messages(load_model, root)[0]


CONFIG = {
    "model": "term_life",
    "policies": "p.csv",
    "assumptions": {"mortality": "m", "lapse": "l", "expenses": "e"},
    "scenarios": {"count": 10},
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "whole_life"}, "column model: 'whole_life' is not one of term_life"),
        ({"polices": 1}, "column polices: unknown setting"),
        ({"policies": []}, "column policies: '[]' is not a text or a list of texts"),
        ({"assumptions": {"mortality": "m"}}, "column assumptions.lapse: is missing"),
        ({"scenarios": {"count": 0}}, "column scenarios.count: '0' is not a whole number from 1"),
        ({"scenarios": {"count": True}}, "column scenarios.count: 'True' is not a whole number"),
        ({"scenarios": {"rng": "lcg"}}, "scenarios.rng: 'lcg' is not one of philox, mt19937_64"),
        ({"scenarios": {"file": "s", "count": 1}}, "column scenarios.count: unknown setting"),
        ({"scenarios": {"interestRate": {"initial": -1}}}, "interestRate.initial: '-1' is not a"),
        (
            {"scenarios": {"interestRate": {"minRate": 0.3}}},
            "interestRate.minRate: '0.3' is above maxRate",
        ),
        ({"multipliers": {"mortality": -1}}, "multipliers.mortality: '-1' is not a number from 0"),
        ({"multipliers": {"lapse": math.nan}}, "multipliers.lapse: 'nan' is not a number from 0"),
        ({"multipliers": []}, "column multipliers: '[]' is not a table of settings"),
        ({"dynamicLapse": {"sensitivity": 1}}, "column dynamicLapse.referenceRate: is missing"),
        ({"output": {"percentiles": [101]}}, "output.percentiles: '[101]' is not a list of"),
        ({"execution": {"maxMemory": "lots"}}, "execution.maxMemory: 'lots' is not a size"),
        ({"hooks": 5}, "column hooks: '5' is not a table"),
    ],
)
def test_bad_descriptions(change, message):
    assert any(message in line for line in messages(parse_config, CONFIG | change, "model.toml"))


def test_toml_and_json_are_one_schema(root):
    document = json.loads((root / "livecalc.config.json").read_text())
    lines = [
        'model = "term_life"',
        f"policies = {json.dumps(document['policies'])}",
        "assumptions.mortality = 'local://mortality.csv'",
        "assumptions.lapse = 'lapse.csv'",
        "assumptions.expenses = 'expenses.csv'",
        "scenarios = {file = 'scenarios.csv'}",
    ]
    expected = load_model(root)
    write_lines(root / "model.toml", lines)
    assert "are both there" in messages(load_model, root)[0]
    (root / "livecalc.config.json").unlink()
    assert (load_model(root).policies.premium == expected.policies.premium).all()
    write_lines(root / "model.toml", ["model = "])
    assert "model.toml: cannot be read" in messages(load_model, root)[0]
    (root / "model.toml").unlink()
    assert "not found" in messages(load_model, root)[0]


@pytest.mark.parametrize(
    "reference",
    ["../lapse.csv", "/etc/passwd", "a/../../b", "local:///etc/passwd", "file:///etc/passwd",
     "local://../x", "C:\\x", "..\\x", "", "."],
)  # fmt: skip
def test_paths_out_of_the_model(root, reference):
    config = json.loads((root / "livecalc.config.json").read_text())
    config["assumptions"]["lapse"] = reference
    (root / "livecalc.config.json").write_text(json.dumps(config))
    found = messages(load_model, root)
    assert "assumptions.lapse" in found[0]


def test_links_out_of_the_model(root, tmp_path):
    (root / "lapse.csv").rename(tmp_path / "lapse.csv")
    assert "'lapse.csv' is not there" in messages(load_model, root)[0]
    (root / "lapse.csv").symlink_to(tmp_path / "lapse.csv")
    assert "is a link that leads out of the model" in messages(load_model, root)[0]


def write_manifest(root, **changes):
    assets = []
    for path in sorted(root.glob("*.csv")):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        size = path.stat().st_size
        assets.append({"relativePath": path.name, "hash": digest, "size": size, "type": "data"})
    assets[0] |= changes
    (root / "manifest.json").write_text(json.dumps({"version": "1", "assets": assets}))


def check(path):
    with opened(path) as root:
        return load_model(root)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hash": "0" * 64}, "'expenses.csv' has the SHA-256"),
        ({"hash": None}, "'expenses.csv' has no hash"),
        ({"size": 3}, "'expenses.csv' has "),
        ({"relativePath": "gone.csv"}, "'gone.csv' is not there"),
        ({"relativePath": "../x.csv"}, "'../x.csv' is not a path inside the model"),
        ({"relativePath": 5}, "has no relativePath"),
    ],
)
def test_manifests(root, change, message):
    write_manifest(root)
    check(root)
    write_manifest(root, **change)
    assert f"manifest.json, column assets[0]: {message}" in messages(check, root)[0]


def test_manifests_that_are_none(root):
    for text in ("{", "[]", '{"assets": 5}'):
        (root / "manifest.json").write_text(text)
        assert messages(check, root)[0].startswith("manifest.json")


def make_zip(path, files, root=None):
    with zipfile.ZipFile(path, "w") as archive:
        for file in root.iterdir() if root else ():
            archive.write(file, f"model/{file.name}")
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def test_a_zip_of_a_model(root, tmp_path):
    assert len(check(make_zip(tmp_path / "m.zip", {}, root)).policies) == 5


def link(name):
    entry = zipfile.ZipInfo(name)
    entry.external_attr = 0o120777 << 16
    return entry


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../x", "'../x' leads out of the package"),
        ("/x", "'/x' leads out of the package"),
        ("a/../../x", "leads out of the package"),
        (link("x"), "'x' is not a plain file"),
    ],
)
def test_hostile_zips(tmp_path, name, message):
    path = make_zip(tmp_path / "m.zip", {name: "/etc/passwd"})
    assert message in messages(check, path)[0]


def test_zip_bombs_and_broken_zips(tmp_path):
    path = tmp_path / "m.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(1 << 20))

    def open_small():
        with opened(path, max_unpacked=1 << 19):
            pass

    assert messages(open_small) == ["m.zip: unpacks to more than is allowed"]
    path.write_bytes(path.read_bytes()[:100])
    assert "m.zip: is not a usable zip" in messages(check, path)[0]
    assert "is not a directory or a zip" in messages(check, tmp_path / "gone")[0]


def test_more_scenarios_than_a_file_has(root):
    config = parse_config(json.loads((root / "livecalc.config.json").read_text()), "x")
    from engine.run import Changes

    with pytest.raises(RequestError, match=r"3 scenarios are asked for; scenarios.csv has 2"):
        load_model(root, Changes(scenarios=3).apply(config))
    assert load_model(root, Changes(scenarios=1).apply(config)).rates.count == 1


def test_every_column_of_policies_is_known_by_the_specification():
    assert ",".join(SCHEMA.columns) == HEADER
    assert np.dtype(SCHEMA.columns["age"].dtype) == np.int16
