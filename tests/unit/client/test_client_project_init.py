"""`ci init`: what it finds, and what it writes."""

import os
import resource
from itertools import pairwise

import pytest

from ci_client.packing.project_kind import Files, project_kind
from ci_client.packing.table_template import table_text
from ci_controller.executors.shared.install_plan import plan_of
from ci_server.submission.project_config import read_table
from support.manifests import MemoryManifests
from support.projects import write

PYTEST, UNITTEST = "import pytest\n", "import unittest\n"
BUILD = '[build-system]\nrequires = ["setuptools"]\n'
PROJECT = '[project]\nname = "pkg"\nversion = "1"\n'
GROUP = '[dependency-groups]\ndev = ["pytest"]\n'
NPM = '{"scripts": {"test": "jest"}}'

KINDS = {
    "nothing": ({"main.py": ""}, "python -m pytest -v", ""),
    "pytest": ({"tests/test_a.py": PYTEST}, "python -m pytest -v", ""),
    "plain tests": ({"test_a.py": "def test(): pass\n"}, "python -m pytest -v", ""),
    "conftest": ({"tests/conftest.py": "", "tests/test_a.py": UNITTEST}, "python -m pytest -v", ""),
    "pytest.ini": ({"pytest.ini": "", "test_a.py": UNITTEST}, "python -m pytest -v", ""),
    "pytest in pyproject": (
        {"pyproject.toml": "[tool.pytest.ini_options]\naddopts = '-q'\n", "test_a.py": UNITTEST},
        "python -m pytest -v",
        "",
    ),
    "unittest at the top": ({"test_a.py": UNITTEST}, "python -m unittest discover -v", ""),
    "unittest in a package": (
        {"tests/__init__.py": "", "tests/test_a.py": UNITTEST},
        "python -m unittest discover -v",
        "",
    ),
    "unittest in a directory": (
        {"tests/test_a.py": UNITTEST},
        "python -m unittest discover -v -s tests",
        "",
    ),
    "unittest and pytest": (
        {"test_a.py": UNITTEST, "test_b.py": PYTEST},
        "python -m pytest -v",
        "",
    ),
    "tox": ({"tox.ini": "[tox]\nenv_list = py\n"}, "python -m tox", ""),
    "nox": ({"noxfile.py": "import nox\n"}, "python -m nox", ""),
    "make": ({"Makefile": "build:\n\ttrue\ntest: build\n\ttrue\n"}, "make test", ""),
    "make without tests": ({"Makefile": "TEST := a\ntest-data: x\n"}, "python -m pytest -v", ""),
    "npm": ({"package.json": NPM, "package-lock.json": "{}"}, "npm ci && npm test", ""),
    "npm without tests": (
        {"package.json": '{"scripts": {"test": "echo \\"Error: no test specified\\""}}'},
        "python -m pytest -v",
        "",
    ),
    "requirements": (
        {"requirements.txt": "six\n", "requirements-dev.txt": "tox\n", "test_a.py": PYTEST},
        "python -m pytest -v",
        "requirements.txt requirements-dev.txt",
    ),
    "requirements without any": ({"requirements.txt": "# none\n\n"}, "python -m pytest -v", ""),
    "lock": (
        {"uv.lock": "", "pyproject.toml": BUILD + PROJECT, "requirements.txt": "six\n"},
        "python -m pytest -v",
        "uv.lock",
    ),
    "lock without its project": ({"poetry.lock": ""}, "python -m pytest -v", ""),
    "package": ({"pyproject.toml": BUILD + PROJECT}, "python -m pytest -v", "pyproject.toml"),
    "package and group": (
        {"pyproject.toml": BUILD + PROJECT + GROUP, "requirements-dev.txt": "six\n"},
        "python -m pytest -v",
        "pyproject.toml",
    ),
    "no package": ({"pyproject.toml": PROJECT}, "python -m pytest -v", ""),
    "setup.py": (
        {"setup.py": "from setuptools import setup\nsetup(name='a')\n"},
        "python -m pytest -v",
        "setup.py",
    ),
}


def kind_of(files):
    return project_kind(Files(files, lambda name: files[name].encode()))


@pytest.mark.parametrize(("files", "command", "installed"), KINDS.values(), ids=KINDS)
def test_kinds_of_projects(files, command, installed):
    found = kind_of(files)
    assert found.way.command == command
    assert found.installed == tuple(installed.split())
    plan = plan_of(MemoryManifests(files), None)
    assert all(name in plan.what for name in found.installed)
    assert bool(plan.layers) == bool(found.installed)


@pytest.mark.parametrize("files", [files for files, *_ in KINDS.values()], ids=KINDS)
def test_the_servers_reader_understands_the_table(files):
    found = kind_of(files)
    table = read_table({"ci.toml": table_text(found, "").encode()})
    same = read_table({"pyproject.toml": table_text(found, "tool.ci.").encode()})
    assert table == same
    job = table.jobs["test"]
    assert job.command == ["/bin/sh", "-c", found.way.command]
    assert job.image == found.way.image
    assert job.install == (None if found.way.install is None else list(found.way.install))


def test_every_line_is_explained():
    lines = table_text(kind_of({"test_a.py": PYTEST, "tox.ini": "[tox]\n"}), "").splitlines()
    for before, line in pairwise(lines):
        if not line.startswith(("# ", "[")):
            assert before.startswith("# ")
    assert '# Also found: command = "python -m tox", with install = ["tox"]' in "\n".join(lines)


def test_names_of_files_cannot_add_lines():
    name = 'tests/test_a\n[jobs.other]\x1b"\udcff.py'
    found = kind_of({name: UNITTEST})
    assert list(read_table({"ci.toml": table_text(found, "").encode()}).jobs) == ["test"]


def test_into_a_file_of_its_own(run, project):
    code, out, err = run("init")
    assert (code, out) == (0, b""), err
    assert "Wrote the job `test` to ci.toml" in err
    assert list(read_table({"ci.toml": (project / "ci.toml").read_bytes()}).jobs) == ["test"]


@pytest.mark.parametrize(
    "before",
    [b"", b"[project]\nname = 'a'\n", b"a = 1 # \xc3\xa4", b"[tool.x]\r\na = '''\r\n'''\r\n"],
)
def test_what_is_in_pyproject_stays(run, project, before):
    path = project / "pyproject.toml"
    path.write_bytes(before)
    path.chmod(0o640)
    code, _, err = run("init", "--path", str(project))
    assert code == 0, err
    after = path.read_bytes()
    assert after.startswith(before)
    assert list(read_table({"pyproject.toml": after}).jobs) == ["test"]
    assert path.stat().st_mode & 0o777 == 0o640
    if b"\r\n" in before:
        assert after.count(b"\n") == after.count(b"\r\n")
    assert not (project / "ci.toml").exists()


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"ci.toml": ""}, "ci.toml already exists"),
        ({"ci.toml": "", "pyproject.toml": ""}, "ci.toml already exists"),
        ({"pyproject.toml": "[a]\n\n[tool.ci]\n"}, "pyproject.toml, line 3, already has the table"),
        (
            {"pyproject.toml": "[ tool . ci.jobs.x]\n"},
            "pyproject.toml, line 1, already has the table",
        ),
        ({"pyproject.toml": "[tool]\nci.jobs = {}\n"}, "pyproject.toml already has the table"),
        ({"pyproject.toml": "tool = { x = 1 }\n"}, "Cannot append to"),
        ({"pyproject.toml": "[project\n"}, "not valid TOML"),
        ({"pyproject.toml": "#" * (256 << 10)}, "would exceed the 256 KiB"),
        ({"pyproject.toml": "#" * (1 << 20)}, "would exceed the 256 KiB"),
    ],
)
def test_nothing_is_overwritten(run, project, files, said):
    write(project, files)
    before = {path.name: path.read_bytes() for path in project.iterdir()}
    code, _, err = run("init")
    assert code == 2
    assert said in err
    assert {path.name: path.read_bytes() for path in project.iterdir()} == before


def test_print_writes_nothing(run, project):
    write(project, {"pyproject.toml": "[tool.ci]\ngit = true\n"})
    before = sorted(os.listdir(project))
    code, out, err = run("init", "--print")
    assert (code, err) == (0, "")
    assert list(read_table({"pyproject.toml": out}).jobs) == ["test"]
    assert sorted(os.listdir(project)) == before


def test_without_a_project(run):
    code, out, err = run("init", "--path", "nowhere")
    assert (code, out) == (2, b"")
    assert "nowhere" in err


@pytest.mark.timeout(60)
def test_hostile_files_cost_nothing(run, project):
    os.mkfifo(project / "pipe")
    (project / "test_0.py").symlink_to("pipe")
    write(project, {"test_b.py": "\n" * (64 << 10), "test_c.py": "from" + "\n" * (64 << 10)})
    code, out, err = run("init", "--print")
    assert (code, err) == (0, "")
    assert b"test_0.py looks like a test" in out


@pytest.mark.parametrize("before", [None, b"", b"[project]\nname = 'a'\n"])
def test_on_a_full_disk_nothing_stays(run, project, before):
    path = project / "pyproject.toml"
    if before is not None:
        path.write_bytes(before)
    (project / "main.py").touch()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, hard))  # less than the table
    try:
        code, _, err = run("init")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert code == 2
    assert "Cannot write" in err
    assert not (project / "ci.toml").exists()
    assert before is None or path.read_bytes() == before
