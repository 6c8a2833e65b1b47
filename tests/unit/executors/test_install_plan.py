"""What is installed of a project, by its files: the order, the layers, the line in the log."""

from dataclasses import replace

import pytest

from ci_common.install_files import Lock
from ci_controller.executors.shared.install_layers import (
    BUILD,
    LINES,
    PROJECT,
    Layer,
    Step,
)
from ci_controller.executors.shared.install_plan import failure, plan_of
from support.manifests import MemoryManifests

BUILD_SYSTEM = '[build-system]\nrequires = ["setuptools>=61"]\n'
PYPROJECT = BUILD_SYSTEM + '[project]\nname = "pkg"\nversion = "1"\ndependencies = ["six"]\n'
TEST_EXTRA = '[project.optional-dependencies]\ntest = ["pytest"]\n'
SETUP_PY = "from setuptools import setup\nsetup(name='pkg', install_requires=['six'])\n"
UV_LOCK = '[[package]]\nname = "pkg"\nsource = { editable = "." }\n'


def plan(files, asked=None, **options):
    return plan_of(MemoryManifests(files), asked, **options)


def contents(layer):
    return {name: text.decode() for name, text in layer.files.items()}


NOTHING = [
    {},
    {"main.py": ""},
    {"pyproject.toml": "[tool.ci.jobs.test]\ncommand = 'true'\n"},
    {"pyproject.toml": "[tool.pytest.ini_options]\n"},
    {"pyproject.toml": "[project]\nname = 'pkg'\nversion = '1'\n", "test_a.py": ""},
    {"setup.cfg": "[tool:pytest]\naddopts = -q\n"},
    {"requirements.txt": "# nothing\n"},
    {"requirements.txt": "--pre\n"},
    {"uv.lock": UV_LOCK},
]


@pytest.mark.parametrize("files", NOTHING, ids=str)
def test_nothing_to_install_and_nothing_to_say(files):
    found = plan(files)
    assert (found.layers, found.line) == ((), None)


LAYOUTS = {
    "requirements": ({"requirements.txt": "six\n"}, "requirements.txt"),
    "with those of the tests": (
        {"requirements.txt": "six\n", "requirements-dev.txt": "tox\n"},
        "requirements.txt and requirements-dev.txt",
    ),
    "of the tests alone": ({"requirements/test.txt": "six\n"}, "requirements/test.txt"),
    "project": ({"pyproject.toml": PYPROJECT}, "the project (editable, pyproject.toml)"),
    "extra": (
        {"pyproject.toml": PYPROJECT + TEST_EXTRA},
        "the project (editable, pyproject.toml) and its extra 'test'",
    ),
    "group": (
        {"pyproject.toml": PYPROJECT + '[dependency-groups]\ndev = ["tox"]\ntests = ["six"]\n'},
        "the project (editable, pyproject.toml) and its dependency group 'tests'",
    ),
    "project and file of the tests": (
        {"pyproject.toml": PYPROJECT, "requirements-dev.txt": "tox\n"},
        "the project (editable, pyproject.toml) and requirements-dev.txt",
    ),
    "dependencies alone": (
        {"pyproject.toml": '[project]\nname = "app"\ndependencies = ["six"]\n'},
        "the dependencies of pyproject.toml",
    ),
    "group alone": (
        {"pyproject.toml": '[dependency-groups]\ndev = ["six"]\n'},
        "the dependencies of pyproject.toml and its dependency group 'dev'",
    ),
    "setup.py": ({"setup.py": SETUP_PY}, "the project (editable, setup.py)"),
    "setup.cfg": (
        {"setup.cfg": "[metadata]\nname = pkg\n[options]\ninstall_requires =\n  six\n"},
        "the project (editable, setup.cfg)",
    ),
    "uv.lock": (
        {"pyproject.toml": PYPROJECT, "uv.lock": UV_LOCK},
        "uv.lock (frozen) and the project (editable)",
    ),
    "uv.lock of no package": (
        {"pyproject.toml": "[project]\nname = 'a'\n", "uv.lock": UV_LOCK},
        "uv.lock (frozen)",
    ),
    "poetry.lock": (
        {"pyproject.toml": "[tool.poetry]\npackage-mode = false\n", "poetry.lock": ""},
        "poetry.lock (frozen)",
    ),
    "pdm.lock": (
        {"pyproject.toml": PYPROJECT + TEST_EXTRA, "pdm.lock": ""},
        "pdm.lock (frozen) and its extra 'test' and the project (editable)",
    ),
    "Pipfile.lock": ({"Pipfile": "", "Pipfile.lock": "{}"}, "Pipfile.lock (frozen)"),
    "pylock.toml": ({"pylock.toml": ""}, "pylock.toml (frozen)"),
}


@pytest.mark.parametrize(("files", "what"), LAYOUTS.values(), ids=LAYOUTS)
def test_what_is_there_is_installed(files, what):
    assert plan(files).line == f"ci: install: {what}"


ORDER = ["uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock", "pylock.toml", "requirements.txt"]


@pytest.mark.parametrize("number", range(len(ORDER)))
def test_the_order(number):
    files = dict.fromkeys(ORDER[number:], "six\n") | {"pyproject.toml": PYPROJECT, "Pipfile": ""}
    found = plan(files)
    assert found.what.startswith(ORDER[number])
    locks = [name for name in ORDER[number + 1 :] if name in set(Lock)]
    assert set(locks) <= set(found.not_installed)


@pytest.mark.parametrize("name", ["environment.yml", "environment.yaml", "Pipfile"])
def test_what_is_not_read_is_said(name):
    assert f"install: nothing; not installed: {name} (" in plan({name: ""}).line
    assert f"; not installed: {name} (" in plan({name: "", "requirements.txt": "six"}).line


def test_a_second_file_of_the_tests_is_said():
    found = plan({"requirements-dev.txt": "a\n", "requirements/test.txt": "b\n"})
    assert found.what == "requirements-dev.txt"
    assert set(found.not_installed) == {"requirements/test.txt"}


def test_other_files_of_requirements_are_said():
    names = ["requirements-tests39.txt", "docs-requirements.txt", "requirements/docs.txt"]
    found = plan({"pyproject.toml": PYPROJECT, **dict.fromkeys(names, "six\n")})
    assert set(found.not_installed) == set(names)
    many = {f"requirements-{number}.txt": "six\n" for number in range(9)}
    found = plan({"pyproject.toml": PYPROJECT, **many})
    assert len(found.not_installed) == 6
    assert "4 more such files" in found.line


def test_files_that_are_read_by_others_are_not_said_to_be_left_out():
    files = {"requirements.txt": "-r requirements/base.txt\n", "requirements/base.txt": "six\n"}
    assert plan(files).not_installed == {}
    assert plan({**files, "vendor/requirements.txt": "six\n"}).not_installed == {}


def test_a_project_beside_its_requirements_is_said_unless_they_name_it():
    files = {"pyproject.toml": PYPROJECT, "requirements.txt": "six\n"}
    assert "the project itself" in plan(files).not_installed
    assert plan(files | {"requirements.txt": "six\n-e .\n"}).not_installed == {}


def test_without_a_build_system_there_are_dependencies_only():
    files = {"pyproject.toml": '[project]\nname = "a-b"\nversion = "1"\n', "a_b.py": ""}
    assert plan(files).line is None
    found = plan(files | {"src/a_b/__init__.py": ""})
    assert "no [build-system]" in found.not_installed["the project itself"]
    assert found.layers == ()


# ------------------------------------------------------------------ layers


def test_requirements_of_an_index_are_one_layer_of_the_files_as_they_are():
    files = {"requirements.txt": "-r more.txt\nsix\n", "more.txt": "tox\n", "x.py": ""}
    (layer,) = plan(files).layers
    assert layer.steps == (Step(("-r", "requirements.txt")),)
    assert contents(layer) == {
        "requirements.txt": "-r more.txt\nsix\n",
        "more.txt": "tox\n",
    }
    assert not layer.needs_project


def test_what_needs_no_project_file_is_a_layer_of_its_own():
    files = {
        "requirements.txt": "--pre\ntox\n-c c.txt\n-e .[test]\n",
        "c.txt": "six<2\n",
        "pyproject.toml": PYPROJECT + TEST_EXTRA,
    }
    below, project = plan(files).layers
    assert contents(below) == {
        "c.txt": "six<2\n",
        BUILD: "--pre\n-c c.txt\nsetuptools>=61\nwheel\n",
        LINES: "--pre\n-c c.txt\ntox\nsix\npytest\n",
    }
    assert below.steps == (Step(("-r", BUILD)), Step(("-r", LINES)))
    assert not below.needs_project
    assert contents(project) == {PROJECT: "--pre\n-c c.txt\n-e .[test]\n"}
    assert project.steps == (Step(("-r", PROJECT), without_dependencies=True, builds_project=True),)
    assert project.needs_project


def test_a_line_that_is_not_understood_makes_it_one_layer_with_the_project():
    files = {"requirements.txt": "six\n--find-links wheels\n-e .\n", "pyproject.toml": PYPROJECT}
    (layer,) = plan(files).layers
    assert layer == Layer((Step(("-r", "requirements.txt")),), {}, needs_project=True)


INCOMPLETE = {
    "setup.py": {"setup.py": SETUP_PY},
    "dynamic": {
        "pyproject.toml": PYPROJECT.replace("dependencies =", 'dynamic = ["dependencies"] #')
    },
    "unknown extra": {"pyproject.toml": PYPROJECT, "requirements.txt": "-e .[no]\n"},
    "file of the project": {"requirements.txt": "./a.whl\n", "a.whl": ""},
    "sources": {"pyproject.toml": PYPROJECT + '[tool.uv.sources]\nsix = { path = "x" }\n'},
    "poetry": {"pyproject.toml": '[tool.poetry]\nname = "pkg"\n'},
}


@pytest.mark.parametrize("files", INCOMPLETE.values(), ids=INCOMPLETE)
def test_dependencies_that_only_a_build_tells_come_with_the_project(files):
    layers = plan(files).layers
    assert layers[-1].needs_project
    assert not layers[-1].steps[0].without_dependencies


def test_sources_of_uv_are_left_to_the_installer_of_the_project():
    below, _ = plan(INCOMPLETE["sources"]).layers
    assert set(below.files) == {BUILD}


def test_dependencies_that_setuptools_reads_from_a_file():
    files = {
        "pyproject.toml": BUILD_SYSTEM
        + '[project]\nname = "pkg"\ndynamic = ["dependencies"]\n'
        + '[tool.setuptools.dynamic]\ndependencies = { file = ["deps.txt"] }\n',
        "deps.txt": "six  # why\n",
    }
    below, project = plan(files).layers
    assert contents(below)[LINES] == "six\n"
    assert project.steps[0].without_dependencies


def test_extras_that_name_each_other_and_groups_that_include_each_other():
    files = {
        "pyproject.toml": PYPROJECT
        + '[project.optional-dependencies]\nTest = ["pkg[a]", "tox"]\na = ["pkg[test]", "x"]\n'
        + '[dependency-groups]\ntest = ["never"]\n'
    }
    below, _ = plan(files).layers
    assert contents(below)[LINES] == "six\ntox\nx\n"
    groups = (
        '[dependency-groups]\ntest = ["t", {include-group = "a"}]\na = [{include-group="test"}]\n'
    )
    below, _ = plan({"pyproject.toml": PYPROJECT + groups}).layers
    assert contents(below)[LINES] == "t\nsix\n"


def test_hashes_are_for_the_lines_that_have_them():
    files = {"requirements.txt": "tox==1 --hash=sha256:a\n-e .\n", "pyproject.toml": PYPROJECT}
    below, _ = plan(files).layers
    assert [contents(below)[step.arguments[1]] for step in below.steps] == [
        "setuptools>=61\nwheel\n",
        "tox==1 --hash=sha256:a\n",
        "six\n",
    ]


def test_the_backend_of_a_directory_of_the_project_and_what_it_asks_for():
    files = {
        "requirements.txt": "-e ./lib\n",
        "lib/pyproject.toml": '[build-system]\nrequires = ["hatchling>=1"]\n'
        '[project]\nname = "lib"\ndependencies = ["six"]\n',
    }
    below, _ = plan(files).layers
    assert contents(below) == {BUILD: "hatchling>=1\neditables\n", LINES: "six\n"}


def test_a_lock_is_a_layer_of_itself_and_the_manifest():
    files = {"pyproject.toml": PYPROJECT + TEST_EXTRA, "uv.lock": UV_LOCK, "src/a.py": ""}
    below, project = plan(files).layers
    assert set(below.files) == {"uv.lock", "pyproject.toml", BUILD}
    assert below.steps[1] == Step(("--extra", "test", "--no-emit-local"), Lock.UV)
    assert contents(project) == {PROJECT: "-e .\n"}


def test_a_workspace_is_read_with_the_manifests_of_its_members():
    files = {
        "pyproject.toml": "[tool.uv.workspace]\nmembers = ['lib']\n[project]\nname = 'a'\n",
        "lib/pyproject.toml": PYPROJECT,
        "uv.lock": UV_LOCK + '[[package]]\nname = "lib"\nsource = { editable = "lib" }\n',
    }
    below, project = plan(files).layers
    assert "lib/pyproject.toml" in below.files
    assert project.steps[0].lock is Lock.UV
    assert project.steps[0].without_dependencies


def test_groups_of_poetry():
    tables = (
        "[tool.poetry]\npackage-mode = false\n[tool.poetry.group.dev.dependencies]\n"
        "[tool.poetry.group.docs]\noptional = true\n[tool.poetry.group.test]\noptional = true\n"
    )
    (layer,) = plan({"pyproject.toml": tables, "poetry.lock": ""}).layers
    assert layer.steps == (Step(("--with", "dev,test"), Lock.POETRY),)


def test_a_lock_of_something_in_the_project_needs_the_project():
    lock = '[[package]]\nname = "lib"\n[package.source]\ntype = "directory"\nurl = "lib"\n'
    files = {"pyproject.toml": "[tool.poetry]\npackage-mode = false\n", "poetry.lock": lock}
    (layer,) = plan(files).layers
    assert layer.needs_project


def test_without_a_tool_for_locks_the_rest_is_installed_and_the_lock_named():
    found = plan({"pyproject.toml": PYPROJECT, "uv.lock": UV_LOCK}, with_locks=False)
    assert found.what == "the project (editable, pyproject.toml)"
    assert set(found.not_installed) == {"uv.lock"}


# ------------------------------------------------------------------ what a job asks for


def test_lines_that_are_asked_for_replace_all_others():
    files = {"pyproject.toml": PYPROJECT, "uv.lock": UV_LOCK, "r.txt": "tox\n"}
    found = plan(files, ("-r r.txt", "-e ."))
    assert found.line == "ci: install: -r r.txt, -e . (as `install` says)"
    below, project = found.layers
    assert contents(below)[LINES] == "tox\nsix\n"
    assert contents(project)[PROJECT] == "-e .\n"


def test_nothing_is_asked_for():
    assert plan({"pyproject.toml": PYPROJECT}, ()).layers == ()


def test_what_to_do_when_it_fails():
    told = failure(plan({"pyproject.toml": PYPROJECT}), 2)
    assert "exit code 2" in told
    assert "`install = false`" in told
    assert "--no-install" in told
    assert "install = false" not in failure(plan({"requirements.txt": "six\n"}), 1)


# ------------------------------------------------------------------ keys


def key(layer, sha="sha", context=("base",)):
    return layer.key(sha, *context)


def test_the_key_changes_with_what_matters_and_nothing_else():
    layer = Layer((Step(("-r", "r")),), {"r": b"six"})
    one = key(layer)
    assert key(layer, sha="another upload") == one
    others = [
        key(replace(layer, files={"r": b"six "})),
        key(replace(layer, files={"s": b"six"})),
        key(replace(layer, files={"r": b"six", "s": b""})),
        key(replace(layer, steps=(Step(("-r", "r"), without_dependencies=True),))),
        key(layer, context=("other base",)),
        key(layer, context=("base", "tenant")),
        key(replace(layer, needs_project=True)),
        key(replace(layer, needs_project=True), sha="another upload"),
    ]
    assert len({one, *others}) == len(others) + 1
    two = Layer(layer.steps, {"a": b"1", "b": b"2"})
    assert key(two) == key(replace(two, files={"b": b"2", "a": b"1"}))


def test_the_key_cannot_be_confused_by_joining():
    layer = Layer((), {"r": b""})
    assert key(layer, context=("ab", "c")) != key(layer, context=("a", "bc"))
    assert key(replace(layer, files={"ra": b"b"})) != key(replace(layer, files={"r": b"ab"}))
