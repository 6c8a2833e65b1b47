"""Projects of every layout, installed from the package index before their job."""

import base64
import json

import docker
import pytest

from support import engine
from support.archives import zip_bytes
from support.live_server import ROOT

pytestmark = pytest.mark.docker

LOCKS = ROOT / "tests" / "fixtures" / "locks"
BUILD = '[build-system]\nrequires = ["setuptools>=61"]\nbuild-backend = "setuptools.build_meta"\n'
SOURCES = '[tool.setuptools.packages.find]\nwhere = ["src"]\n'
PROJECT = BUILD + '[project]\nname = "mypkg"\nversion = "1"\ndependencies = ["six"]\n'
EXTRA = '[project.optional-dependencies]\ntest = ["tabulate"]\n'
PYPROJECT = PROJECT + EXTRA + SOURCES
SHOW = "import mypkg, six, tabulate\nprint('value', mypkg.V, mypkg.__file__)\n"
SRC = {"src/mypkg/__init__.py": 'V = "one"\n', "run.py": SHOW}
COMMAND = ["python", "run.py"]
EDITABLE = b"value one /workspace/src/mypkg/__init__.py\n"


def lines_of_runner(log):
    return [line for line in log.decode().splitlines() if line.startswith("ci: ")]


def passed(server, files, command=None, **options):
    job, log = run(server, files, command, **options)
    assert job["success"] is True, log.decode()
    return log


def run(server, files, command=None, secrets=None, install=None):
    form = server.form(zip_bytes(files), command or COMMAND)
    if install is not None:
        form["data"]["spec"] = json.dumps({**json.loads(form["data"]["spec"]), "install": install})
    if secrets:
        values = {
            name: {"value": base64.b64encode(value.encode()).decode()}
            for name, value in secrets.items()
        }
        form["data"]["secrets"] = json.dumps(values)
    answer = server.http.post("/submit-async", **form)
    assert answer.status_code == 200, answer.text
    job_id = answer.json()["job_id"]
    return server.finished(job_id, seconds=170), server.log(job_id)


SETUP_PY = """
from setuptools import find_packages, setup
setup(name="mypkg", version="1", packages=find_packages("src"), package_dir={"": "src"},
      install_requires=["six"], extras_require={"test": ["tabulate"]})
"""
HATCH = """
[build-system]
requires = ["hatchling", "hatch-vcs"]
build-backend = "hatchling.build"
[project]
name = "mypkg"
dynamic = ["version"]
dependencies = ["six"]
[dependency-groups]
dev = ["tabulate"]
[tool.hatch.version]
source = "vcs"
"""
SCM = """
[build-system]
requires = ["setuptools>=61", "setuptools-scm>=8"]
build-backend = "setuptools.build_meta"
[project]
name = "mypkg"
dynamic = ["version"]
dependencies = ["six"]
[project.optional-dependencies]
tests = ["tabulate"]
[tool.setuptools_scm]
"""

LAYOUTS = {
    "pyproject": {"pyproject.toml": PYPROJECT},
    "setup.py": {"setup.py": SETUP_PY},
    "hatch-vcs": {"pyproject.toml": HATCH},
    "setuptools-scm": {"pyproject.toml": SCM + SOURCES},
    "requirements of tests": {
        "pyproject.toml": PROJECT + SOURCES,
        "requirements/test.txt": "tabulate\n",
    },
    "editable in requirements": {
        "pyproject.toml": PYPROJECT,
        "requirements.txt": "-e .[test]\n",
    },
}


@pytest.mark.parametrize("files", LAYOUTS.values(), ids=LAYOUTS)
def test_the_project_is_installed_editable_with_what_its_tests_need(server, files):
    log = passed(server, files | SRC)
    assert log.endswith(EDITABLE)
    asks_git = files.get("pyproject.toml") in (HATCH, SCM + SOURCES)
    assert len(lines_of_runner(log)) == (2 if asks_git else 1), log.decode()
    assert (b"ci: the version is 0.0.0: the project reads it from git" in log) == asks_git


VERSION = "from importlib.metadata import version\nprint('version', version('mypkg'))\n"
PKG_INFO = "Metadata-Version: 2.1\nName: mypkg\nVersion: 7.8.9\n"


@pytest.mark.parametrize("pyproject", [HATCH, SCM + SOURCES], ids=["hatch-vcs", "setuptools-scm"])
def test_a_source_distribution_keeps_its_version(server, pyproject):
    files = {"pyproject.toml": pyproject, "PKG-INFO": PKG_INFO, **SRC, "run.py": VERSION}
    log = passed(server, files)
    assert log.endswith(b"version 7.8.9\n")
    assert b"0.0.0" not in log


def test_an_empty_variable_leaves_the_version_to_the_project(server):
    """Which has another way to it than git."""
    table = '[jobs.test]\ncommand = ["python", "run.py"]\n[jobs.test.env]\n'
    table += 'SETUPTOOLS_SCM_PRETEND_VERSION = ""\n'
    pyproject = SCM + 'fallback_version = "4.5.6"\n' + SOURCES
    files = {"pyproject.toml": pyproject, **SRC, "run.py": VERSION, "ci.toml": table}
    assert passed(server, files).endswith(b"version 4.5.6\n")


LOCKED = ["uv.lock", "poetry.lock", "pdm.lock", "pylock.toml"]


@pytest.mark.parametrize("lock", LOCKED)
def test_a_lock_is_followed_to_the_version(server, lock):
    files = {name: (LOCKS / name).read_bytes() for name in (lock, "pyproject.toml")}
    show = "from importlib.metadata import version\nimport mypkg\n"
    wanted = ["six", "iniconfig"] + (["tabulate"] if lock != "pylock.toml" else [])
    show += f"print('value', *map(version, {wanted}), mypkg.V)\n"
    log = passed(server, {**files, **SRC, "run.py": show})
    versions = dict.fromkeys(wanted, "") | locked_versions(lock, wanted)
    assert log.endswith(f"value {' '.join(versions[name] for name in wanted)} one\n".encode())
    assert lines_of_runner(log)[0].startswith(f"ci: install: {lock} (frozen)")
    for program in ("poetry", "pdm"):
        assert f"no {program}".encode() in passed(
            server,
            {**files, **SRC},
            ["sh", "-c", f"command -v {program} || echo no {program}"],
        )


def locked_versions(lock, wanted):
    """The version of each package for the Python of the image, in these locks the last one."""
    lines = (LOCKS / lock).read_text().splitlines()
    found = {}
    for name in wanted:
        places = [number for number, line in enumerate(lines) if line == f'name = "{name}"']
        found[name] = lines[places[-1] + 1].split('"')[1]
    return found


def test_a_lock_of_pipenv(server):
    files = {name: (LOCKS / name).read_bytes() for name in ("Pipfile", "Pipfile.lock")}
    show = "import six, tabulate\nprint('value', six.__version__, tabulate.__version__)\n"
    assert passed(server, {**files, "run.py": show}).endswith(b"value 1.17.0 0.10.0\n")


def test_a_workspace_of_uv(server):
    lock = """version = 1
revision = 3
requires-python = ">=3.9"
[manifest]
members = ["lib", "top"]
[[package]]
name = "lib"
version = "1"
source = { editable = "packages/lib" }
[[package]]
name = "top"
version = "1"
source = { virtual = "." }
dependencies = [{ name = "lib" }]
[package.metadata]
requires-dist = [{ name = "lib", editable = "packages/lib" }]
"""
    files = {
        "uv.lock": lock,
        "pyproject.toml": '[project]\nname = "top"\nversion = "1"\nrequires-python = ">=3.9"\n'
        'dependencies = ["lib"]\n[tool.uv.workspace]\nmembers = ["lib"]\n'
        "[tool.uv.sources]\nlib = { workspace = true }\n",
        "packages/lib/pyproject.toml": BUILD
        + '[project]\nname = "lib"\nversion = "1"\nrequires-python = ">=3.9"\n',
        "packages/lib/lib/__init__.py": "V = 'lib'\n",
        "run.py": "import lib\nprint('value', lib.V)\n",
    }
    assert passed(server, files).endswith(b"value lib\n")


def test_a_changed_line_of_the_source_does_not_install_the_requirements_again(server):
    files = {"pyproject.toml": PYPROJECT, **SRC}
    passed(server, files)
    log = passed(server, files | {"src/mypkg/__init__.py": 'V = "two"\n'})
    assert log.endswith(EDITABLE.replace(b"one", b"two"))
    assert b"tabulate" not in log


def test_the_project_wins_over_a_package_of_the_image(server):
    files = {
        "pyproject.toml": BUILD + '[project]\nname = "pluggy"\nversion = "99"\n' + SOURCES,
        "src/pluggy/__init__.py": '__version__ = "mine"\n',
    }
    log = passed(server, files, ["python", "-c", "import pluggy; print(pluggy.__version__)"])
    assert log.endswith(b"mine\n")


def test_other_manifests_are_installed_or_said(server):
    files = {
        "Pipfile": '[packages]\nsix="*"\n',
        "environment.yml": "name: x\n",
        "requirements-dev.txt": "six\n",
        "requirements/test.txt": "six\n",
        "run.py": "import six\n",
    }
    (line,) = lines_of_runner(passed(server, files))
    for name in files.keys() - {"run.py"}:
        assert name in line


def test_a_build_without_isolation_needs_no_network(server):
    files = {
        "ci.toml": '[jobs.test]\nnetwork = "none"\n',
        "pyproject.toml": PYPROJECT,
        **SRC,
    }
    command = "pip install -q --no-build-isolation --no-deps -e . && python run.py"
    assert passed(server, files, ["sh", "-c", command]).endswith(EDITABLE)


# ------------------------------------------------------------------ not wanted, not possible


def test_nothing_that_a_job_finds_is_of_1970(server):
    """Neither in a layer nor among its secrets: `make` and zip would be led astray."""
    script = (
        "import os, pathlib, time, mypkg, six\n"
        "packages = pathlib.Path(six.__file__).parent\n"
        "installed = [*packages.glob('six*'), *packages.glob('*mypkg*')]\n"
        "tops = [os.environ['CI_SECRETS_DIR'], '.', '/home/ci', *installed]\n"
        "paths = [p for top in tops for p in (pathlib.Path(top), *pathlib.Path(top).rglob('*'))]\n"
        "times = [(os.lstat(p).st_mtime, str(p)) for p in paths]\n"
        "print([one for one in times if not 315532800 <= one[0] <= time.time()][:9])\n"
        "print(len(times) > 10, time.time() - os.stat(tops[0] + '/TOKEN').st_mtime < 600)\n"
    )
    files = {"setup.py": SETUP_PY, "src/mypkg/__init__.py": "", "look.py": script}
    job, log = run(server, files, ["python", "look.py"], {"TOKEN": "0123456789"})
    assert job["success"] is True, log.decode()
    assert log.decode().splitlines()[-2:] == ["[]", "True True"]


def test_nothing_is_installed_when_that_is_asked_for(server):
    files = {"pyproject.toml": PYPROJECT, **SRC}
    job, log = run(server, files, ["python", "-c", "import tabulate"], install=False)
    assert job["exit_code"] == 1
    assert b"ModuleNotFoundError" in log
    table = "[tool.ci.jobs.test]\ninstall = false\n"
    job, _ = run(server, files | {"pyproject.toml": PYPROJECT + table})
    assert job["exit_code"] == 1


def test_what_a_job_asks_for_is_installed_instead(server):
    table = '[tool.ci.jobs.test]\ninstall = ["tabulate", "-e ."]\n'
    log = passed(server, {"pyproject.toml": PROJECT + SOURCES + table, **SRC})
    assert log.endswith(EDITABLE)
    assert lines_of_runner(log) == ["ci: install: tabulate, -e . (as `install` says)"]


def test_a_project_that_is_no_package_fails_with_what_to_do(server):
    job, log = run(server, {"pyproject.toml": PROJECT, "a/__init__.py": "", "b/__init__.py": ""})
    assert (job["status"], job["reason"]) == ("failed", "setup_failed")
    assert "`install = false`" in job["message"]
    assert b"flat-layout" in log


def test_a_table_of_jobs_is_no_project(server):
    table = "[tool.ci.jobs.test]\ncommand = 'echo alone'\n"
    _, log = server.run(zip_bytes({"pyproject.toml": table}), ["echo", "alone"])
    assert log == b"alone\n"


# ------------------------------------------------------------------ index, environment, secrets

AWAY = "http://127.0.0.1:1/simple"


@pytest.mark.parametrize("name", ["UV_INDEX_URL", "UV_DEFAULT_INDEX", "PIP_INDEX_URL"])
def test_the_index_of_a_job_is_not_replaced_by_the_public_one(server, name):
    table = f'[jobs.test]\nenv = {{ {name} = "{AWAY}" }}\n'
    for manifests in ({"requirements.txt": "six\n"}, {"pyproject.toml": PYPROJECT, **SRC}):
        passed(server, {**manifests, "run.py": ""})  # it was installed without that, too
        job, log = run(server, {"ci.toml": table, **manifests})
        assert job["reason"] == "setup_failed", log.decode()
        assert b"127.0.0.1:1" in log


def test_the_index_of_the_operator_holds_unless_the_job_has_another(own_server):
    server = own_server(environment={"CI_SETUP_ENV": json.dumps({"UV_DEFAULT_INDEX": AWAY})})
    server.start().ready()
    job, log = run(server, {"requirements.txt": "six\n"})
    assert job["reason"] == "setup_failed"
    assert b"127.0.0.1:1" in log
    table = '[jobs.test]\nenv = { PIP_INDEX_URL = "https://pypi.org/simple" }\n'
    passed(server, {"ci.toml": table, "requirements.txt": "six\n"}, ["python", "-c", "import six"])


SECRET = "s3cr3t-token-value"
ASKS_FOR_SECRET = """
import os, pathlib
from setuptools import setup
token = os.environ["INDEX_TOKEN"]
print("built with", token)
pathlib.Path("kept.py").write_text(f"TOKEN = {token!r}")
setup(name="lib", version="1", py_modules=["kept"])
"""


def test_a_secret_holds_while_installing_and_is_in_no_layer(server):
    files = {
        "requirements.txt": "./lib\n",
        "lib/setup.py": ASKS_FOR_SECRET,
        "run.py": "import kept\nprint('value', kept.TOKEN)\n",
        "ci.toml": '[jobs.test]\nenv = { INDEX_TOKEN = "plain-value" }\n',
    }
    log = passed(server, files, secrets={"INDEX_TOKEN": SECRET})
    assert SECRET.encode() not in log
    assert b"value ***" in log
    for image in images_of(server):
        content = b"".join(image.save())
        assert SECRET.encode() not in content
        assert SECRET not in json.dumps([image.attrs, image.history()])
    plain = passed(server, files)
    assert b"value plain-value\n" in plain  # another installation
    other = passed(server, files, secrets={"INDEX_TOKEN": SECRET[::-1]})
    assert b"plain-value" not in other


def images_of(server):
    client = docker.from_env(version="auto")
    label = f"{engine.LABEL_INSTANCE}={server.instance_id()}"
    found = client.images.list(filters={"label": label})
    assert found
    newest = max(found, key=lambda image: image.attrs["Created"])
    return [newest]


def test_a_password_of_an_index_is_the_secrets_value(server):
    files = {
        "requirements.txt": "--index-url http://user:${INDEX_TOKEN}@127.0.0.1:1/simple\nsix\n",
        "run.py": "",
    }
    job, log = run(server, files, secrets={"INDEX_TOKEN": SECRET})
    assert job["reason"] == "setup_failed"
    assert SECRET.encode() not in log
    assert b"${INDEX_TOKEN}" not in log
