"""How CSV is read: unusual, large, and by both readers the same."""

import pytest
from engine_inputs import ROW, messages, policies_of
from engine_models import HEADER, write_lines
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import Problems
from engine.model.policies import load_policies
from engine.tables import fast_csv
from engine.tables.columns import Identifier, Number, Text
from engine.tables.rows import parse_rows, split


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
    monkeypatch.setattr("engine.tables.table.CHUNK_BYTES", 200)
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
    monkeypatch.setattr("engine.tables.table.CHUNK_BYTES", 200)
    monkeypatch.setattr("engine.tables.table.BATCH_ROWS", 7)
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
