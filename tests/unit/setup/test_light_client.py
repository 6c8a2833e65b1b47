"""`pip install ci-runner`: the client alone, and small."""

import os
import shutil
import subprocess
import sys

import pytest

from setup_steps.paths import CONSTRAINTS, ROOT

MOST_PACKAGES = 15
MOST_BYTES = 13_000_000
OF_THE_SERVER = {"pydantic", "numpy", "docker", "fastapi", "typer", "rich"}


@pytest.fixture(scope="module")
def light(tmp_path_factory):
    """The directory with the programs of an environment that has the built wheel alone."""
    directory = tmp_path_factory.mktemp("light")
    source, environment = directory / "source", directory / "environment"
    source.mkdir()
    for path in [*ROOT.glob("ci_*/"), ROOT / "engine"]:
        shutil.copytree(path, source / path.name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    done(
        "wheel", [*pip, "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", directory, source]
    )
    done("venv", [sys.executable, "-m", "venv", "--without-pip", environment])
    (wheel,) = directory.glob("*.whl")
    install = ["install", "-q", "--no-compile", "-c", CONSTRAINTS, wheel]
    done("install", [*pip, "--python", environment / "bin" / "python", *install])
    return environment / "bin"


def done(what, command):
    found = subprocess.run(command, capture_output=True, text=True)
    assert found.returncode == 0, f"{what}: {found.stdout}{found.stderr}"


def run(light, *command, **variables):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [light / command[0], *command[1:]],
        cwd=light,
        env=environment | {"PYTHONDONTWRITEBYTECODE": "1"} | variables,
        capture_output=True,
        text=True,
    )


def test_it_is_small(light):
    (packages,) = (light.parent / "lib").glob("python*/site-packages")
    names = {path.name.partition("-")[0] for path in packages.glob("*.dist-info")}
    assert "ci_runner" in names
    assert len(names) <= MOST_PACKAGES, names
    assert not OF_THE_SERVER & names
    size = sum(path.stat().st_size for path in packages.rglob("*") if path.is_file())
    assert size < MOST_BYTES


@pytest.mark.parametrize(
    "command", [["ci", "--help"], ["ci-submit", "--help"], ["ci", "--version"]]
)
def test_the_client_runs(light, command):
    found = run(light, *command)
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout.startswith(("Usage: ", "ci 0."))


def test_every_module_of_the_client_can_be_imported(light):
    code = (
        "import pkgutil, ci_client, importlib\n"
        "for one in pkgutil.walk_packages(ci_client.__path__, 'ci_client.'):\n"
        "    importlib.import_module(one.name)\n"
    )
    found = run(light, "python", "-c", code)
    assert found.returncode == 0, found.stderr


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        (["ci-admin", "doctor"], "server"),
        (["job-worker", "--help"], "grpc"),
        (["python", "-m", "ci_server"], "server"),
        (["python", "-m", "ci_controller"], "server"),
        (["python", "-m", "engine", "run", "."], "engine"),
        (["ci", "submit", "engine", "--verify-local"], "engine"),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, list) else "",
)
def test_the_rest_says_what_to_install(light, command, extra):
    found = run(light, *command)
    assert (found.returncode, found.stdout) == (2, "")
    assert f'pip install "ci-runner[{extra}]"' in found.stderr
    assert len(found.stderr.splitlines()) == 1
