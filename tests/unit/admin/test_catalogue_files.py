"""Files of the catalogue: what is taken, and where a problem is said to be."""

import sys
from dataclasses import fields

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ci_admin.catalogue_columns import CELLS, SYNONYMS
from ci_admin.catalogue_files import MOST_PROBLEMS, Problems, read_file
from ci_common.catalogue import CellGroup
from ci_common.errors import BadRequestError
from ci_persistence.sqlite.catalogue_draft import SqliteCatalogueDraft
from support.catalogues import CELLS as EXAMPLE_CELLS
from support.catalogues import SYNONYMS as EXAMPLE_SYNONYMS
from support.catalogues import a_control, a_group, a_synonym, write_csv

HEADER = ",".join(field.name for field in fields(CellGroup))
ROW = "atlas,B cell,CL:0000236,interleukin-4,cytokine,false,blood,donor_1,healthy,24 h,30"
QUOTED = ROW.replace("B cell", '"B cell"').replace("false", "FALSE")
SYNONYM_HEADER = "canonical_name,synonym,entity_type"


class Reading:
    """What became of one file."""

    def __init__(self, path, content=None, taken=()):
        if content is not None:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        problems = Problems(path)
        with SqliteCatalogueDraft() as draft:
            self.read = read_file(path, draft, problems, taken)
            self.groups = list(draft.groups() or ())
            self.synonyms = list(draft.synonyms() or ())
        self.problems = [line.removeprefix(f"{path}").lstrip(",: ") for line in problems.lines]


@pytest.fixture
def reading(tmp_path):
    return lambda content, **options: Reading(tmp_path / "file", content, **options)


def test_the_files_of_the_example():
    cells, synonyms = Reading(EXAMPLE_CELLS), Reading(EXAMPLE_SYNONYMS)
    assert cells.problems == synonyms.problems == []
    assert cells.read == (CELLS, 154)
    assert sum(group.count for group in cells.groups) == 3384
    assert synonyms.read == (SYNONYMS, 42)
    assert a_synonym("DEX", "dexamethasone") in synonyms.synonyms


def test_what_is_written_comes_back(tmp_path):
    groups = [a_control(), a_group(), a_group(tissue='lung, "left"', condition="48 h; IFN-β")]
    assert Reading(write_csv(tmp_path / "a.csv", groups)).groups == groups


@pytest.mark.parametrize(
    "content",
    [
        f"{HEADER}\n{ROW}\n",
        f"{HEADER}\n{ROW}",
        f"{HEADER}\r\n{ROW}\r\n\r\n",
        f"{HEADER}\r{ROW}\r",
        f"\N{ZERO WIDTH NO-BREAK SPACE}{HEADER}\n\n{ROW}\n\n",
        f"{HEADER}\n{QUOTED}\n",
        f"count,{HEADER.removesuffix(',count')}\n30,{ROW.removesuffix(',30')}\n",
    ],
)
def test_spellings_of_the_same_row(reading, content):
    found = reading(content)
    assert found.problems == []
    assert found.groups == [a_group()]


@pytest.mark.parametrize(
    ("old", "new", "column", "told"),
    [
        ("atlas", "", "dataset", "is empty"),
        ("atlas", "x" * 201, "dataset", "'xxx"),
        ("atlas", "x" * 201, "dataset", "longer than 200 characters"),
        ("B cell", " B cell", "cell_type_name", "begins or ends with a space"),
        ("B cell", "B\tcell", "cell_type_name", "U+0009 (a control character)"),
        ("B cell", "B\x00cell", "cell_type_name", "U+0000"),
        ("B cell", "B\xa0cell", "cell_type_name", "U+00A0 (NO-BREAK SPACE)"),
        ("B cell", '"B\ncell"', "cell_type_name", "U+000A"),
        ("B cell", "B\u202ecell", "cell_type_name", "U+202E"),
        ("CL:0000236", "0000236", "cell_type_cl_id", "a term of an ontology such as CL:0000624"),
        ("CL:0000236", "", "cell_type_cl_id", "is empty"),
        ("false", "0", "is_control", "must be true or false"),
        (",30", ",-1", "count", "'-1' must be an integer from 1 to"),
        (",30", ",0", "count", "'0' must be an integer from 1"),
        (",30", ",3.0", "count", "'3.0' must be an integer"),
        (",30", ",1e3", "count", "must be an integer"),
        (",30", ",1_000", "count", "must be an integer"),
        (",30", ",\u0663", "count", "must be an integer"),
        (",30", f",{10**12 + 1}", "count", "must be an integer from 1 to 1000000000000"),
        (",30", "," + "9" * 5000, "count", "must be an integer"),
        (",30", ",", "count", "must be an integer"),
    ],
)
def test_a_wrong_value_is_told_with_row_and_column(reading, old, new, column, told):
    (problem,) = reading(f"{HEADER}\n{ROW.replace(old, new)}\n").problems
    assert problem.startswith(f"row 2, column {column}: ")
    assert told in problem
    assert problem.isprintable()


def test_a_wrong_entity_type(reading):
    (problem,) = reading(f"{SYNONYM_HEADER}\nB cell,B,celltype\n").problems
    assert problem == "row 2, column entity_type: 'celltype' must be cell_type or perturbation"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        (HEADER, "has no rows below its header"),
        (SYNONYM_HEADER + "\n\n", "has no rows below its header"),
        ("a,b\n1,2\n", "row 1: has none of the columns of a catalogue: dataset, "),
        (
            HEADER.replace(",", ";"),
            "row 1: columns are separated by semicolons; they must be separated by",
        ),
        (f"{HEADER}\n{ROW},x\n", "row 2: has 12 fields, the header has 11"),
        (f"{HEADER}\n{ROW[:-3]}\n", "row 2: has 10 fields, the header has 11"),
        (f'{HEADER}\n{ROW}\n"', "row 3: is not valid CSV: unexpected end of data"),
        (f'{HEADER}\n"a"b{ROW}\n', "row 2: is not valid CSV"),
        (f"{HEADER}\n{'x' * 70_000}\n", "has a line longer than 65536 characters"),
        (f"{HEADER}\n{ROW}\n".encode("utf-16"), "is UTF-16: save the file as UTF-8"),
        (b"PAR1 but no Parquet", "is damaged: "),
        (f"{HEADER}\n{ROW}\n{ROW}9\n", "row 3: has all but its count in common with row 2"),
        (
            f"{SYNONYM_HEADER}\nB cell,B,cell_type\nB cell,B,cell_type\n",
            "row 3: has everything in common with row 2",
        ),
    ],
)
def test_a_file_that_is_none(reading, content, told):
    (problem,) = reading(content).problems
    assert problem.startswith(told)


def test_columns_are_compared_with_those_of_the_kind(reading):
    header = f"Dataset,{HEADER.partition(',')[2]},count,\N{MICROSCOPE}\x1b"
    assert reading(f"{header}\n{ROW},3,x\n").problems == [
        "row 1, column dataset: is missing",
        "row 1, column 'Dataset': is not a column of a cells file",
        "row 1, column 'count': appears twice",
        "row 1, column '\N{MICROSCOPE}\\x1b': is not a column of a cells file",
    ]
    assert reading("synonym,entity_type\n").problems == ["row 1, column canonical_name: is missing"]


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
def test_another_encoding_is_told_where_it_shows(reading, encoding):
    row = ROW.replace("donor_1", "Jos\xe9")
    (problem,) = reading(f"{HEADER}\n{ROW}\n{row}\n".encode(encoding)).problems
    assert problem.startswith("row 3, column donor: 'Jos?' is not UTF-8")


def test_all_problems_of_the_first_rows_are_told(reading):
    assert reading(
        f"{HEADER}\n{ROW}\n{ROW.replace('B cell', '').replace('30', 'x')}\n,\n"
    ).problems == [
        "row 3, column cell_type_name: is empty",
        "row 3, column count: 'x' must be an integer from 1 to 1000000000000",
        "row 4: has 2 fields, the header has 11",
    ]
    found = reading(f"{HEADER}\n" + "x\n" * 1000).problems
    assert len(found) == MOST_PROBLEMS + 1
    assert found[-2].startswith("row 21: ")
    assert found[-1] == "the rest of the file was not checked"


def test_a_second_file_of_a_kind_is_refused(reading):
    (problem,) = reading(f"{HEADER}\n{ROW}\n", taken=[CELLS]).problems
    assert problem == "is a second cells file; an import has one of each kind"


def test_a_file_that_cannot_be_read(tmp_path):
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(BadRequestError, match="cannot be read: "):
            Reading(path)


# ------------------------------------------------------------------ Parquet


def write_parquet(path, **columns):
    usual = dict(zip(HEADER.split(","), ROW.split(","), strict=True))
    table = {name: [value, value] for name, value in usual.items()}
    pq.write_table(pa.table({**table, "donor": ["a", "b"], **columns}), path)
    return path


@pytest.mark.parametrize(
    "columns",
    [
        {"count": [30, 30], "is_control": [False, False]},
        {"count": pa.array([30, 30], pa.uint8())},
        {"dataset": pa.array(["atlas", "atlas"]).dictionary_encode()},
        {"dataset": pa.array(["atlas", "atlas"], pa.large_string())},
    ],
)
def test_parquet_is_read_like_csv(tmp_path, columns):
    found = Reading(write_parquet(tmp_path / "named.csv", **columns))
    assert found.problems == []
    assert found.read == (CELLS, 2)
    assert found.groups == [a_group(donor="a"), a_group(donor="b")]


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"dataset": ["atlas", None]}, "row 3, column dataset: is empty"),
        ({"count": [30, -1]}, "row 3, column count: '-1' must be an integer"),
        ({"count": [30, 30.5]}, "row 2, column count: '30.0' must be an integer"),
        ({"tissue": [b"\xff", b""]}, "row 1, column 'tissue': has the type binary"),
        ({"tissue": [["a"], ["b"]]}, "row 1, column 'tissue': has the type list<"),
        ({"extra": [1, 2]}, "row 1, column 'extra': is not a column"),
        ({"donor": ["a", "a"]}, "row 3: has all but its count in common with row 2"),
    ],
)
def test_problems_of_parquet(tmp_path, columns, told):
    found = Reading(write_parquet(tmp_path / "cells.parquet", **columns)).problems
    assert any(problem.startswith(told) for problem in found), found


def test_parquet_that_is_cut_off_is_told(tmp_path):
    path = write_parquet(tmp_path / "cells.parquet")
    content = path.read_bytes()
    for size in (len(content) - 1, len(content) // 2, 4):
        path.write_bytes(content[:size])
        (problem,) = Reading(path).problems
        assert problem.startswith("is damaged: ")


def test_parquet_needs_pyarrow(tmp_path, monkeypatch):
    path = write_parquet(tmp_path / "cells.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(BadRequestError, match="install the extra `parquet`"):
        Reading(path)
