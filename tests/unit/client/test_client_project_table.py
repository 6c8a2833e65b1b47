"""What the project's table says about packing."""

import contextlib
import os
import subprocess
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ci_client.client import create_project_zip
from ci_client.errors import UsageError
from ci_client.packing.project_table import PackingTable, read_packing_table

FILES = ("a.py", "data/big.csv", "data/small.csv", "model.bin")
WRONG = ['"data/"', "5", "true", "[1]", '["a", 1]', "{a = 1}", "0x" + "f" * 5000, "2020-01-01"]


@pytest.fixture(params=["walked", "git"])
def project(tmp_path, request):
    for name in FILES:
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(name)
    if request.param == "git":
        subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
        subprocess.run(["git", "add", "."], cwd=tmp_path, check=True)
    return tmp_path


def packed(root, include=(), exclude=()):
    with create_project_zip(root, include, exclude) as project:
        names = zipfile.ZipFile(project).namelist()
    return [name for name in names if not name.endswith(".toml")]


@pytest.mark.parametrize(
    ("file", "table"), [("ci.toml", ""), ("pyproject.toml", "[tool.ci]\n")], ids=["ci", "pyproject"]
)
def test_what_the_table_excludes_is_not_sent(project, file, table):
    (project / file).write_text(f'{table}exclude = ["data/", "*.bin"]\n')
    assert packed(project) == ["a.py"]
    assert packed(project, include=["model.bin"]) == ["a.py"]


def test_patterns_of_the_command_line_come_after_those_of_the_table(project):
    (project / "ci.toml").write_text('exclude = ["*.csv", "!small.csv"]\n')
    assert packed(project) == ["a.py", "data/small.csv", "model.bin"]
    assert packed(project, exclude=["!*.csv", "a.py"]) == [
        "data/big.csv",
        "data/small.csv",
        "model.bin",
    ]


def test_a_table_in_ci_toml_and_in_pyproject_is_one_too_many(project):
    (project / "pyproject.toml").write_text('[tool.ci]\nexclude = ["a.py"]\n')
    (project / "ci.toml").write_text("[jobs.test]\n")
    with pytest.raises(UsageError, match=r"ci\.toml and pyproject\.toml both configure jobs"):
        packed(project)
    (project / "pyproject.toml").write_text("[tool.other]\n")
    assert packed(project) == list(FILES)


@pytest.mark.parametrize("value", WRONG)
@pytest.mark.parametrize(
    ("file", "table", "key"),
    [("ci.toml", "", "exclude"), ("pyproject.toml", "[tool.ci]\n", "tool.ci.exclude")],
    ids=["ci", "pyproject"],
)
def test_a_wrong_type_is_told_with_file_and_key(tmp_path, file, table, key, value):
    (tmp_path / file).write_text(f"{table}exclude = {value}\n")
    with pytest.raises(UsageError, match=f"{file}: {key} must be a list of at most 1000"):
        read_packing_table(str(tmp_path))


def test_too_many_patterns(tmp_path):
    (tmp_path / "ci.toml").write_text(f"exclude = {['a'] * 1001}")
    with pytest.raises(UsageError, match="at most 1000"):
        read_packing_table(str(tmp_path))


@pytest.mark.parametrize(
    "content",
    [
        b"exclude = [",
        b"\xff",
        b"[" * 100_000,
        b"tool = 1",
        b"[tool]\nci = 1",
        b"[[tool.ci]]",
        b"a." * 30_000 + b"b = 1",
        b"#" * (300 << 10),
        b"[tool.poetry]\nexclude = 5",
        b"[tool.ci.jobs.test]\nexclude = 5",
        b"",
    ],
    ids=lambda content: content[:20].decode(errors="replace"),
)
def test_what_the_server_explains_better_is_passed_over(tmp_path, content):
    (tmp_path / "pyproject.toml").write_bytes(content)
    assert read_packing_table(str(tmp_path)) == PackingTable()


def test_only_a_regular_file_counts(tmp_path):
    (tmp_path / "other.toml").write_text('exclude = ["a"]')
    (tmp_path / "ci.toml").symlink_to("other.toml")
    assert read_packing_table(str(tmp_path)) == PackingTable()
    (tmp_path / "ci.toml").unlink()
    os.mkfifo(tmp_path / "ci.toml")
    assert read_packing_table(str(tmp_path)) == PackingTable()


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60))
def test_any_content(tmp_path, content):
    (tmp_path / "ci.toml").write_bytes(b"exclude = " + content)
    with contextlib.suppress(UsageError):
        assert isinstance(read_packing_table(str(tmp_path)), PackingTable)
