"""The files a set-up starts from: the pins, the examples, the scripts."""

import os
import re
import subprocess
import sys
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from setup_steps.paths import CONSTRAINTS, EXAMPLES, PYPROJECT, ROOT


def pins():
    lines = CONSTRAINTS.read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def test_everything_asked_for_is_pinned_to_a_version_that_is_allowed():
    project = tomllib.loads(PYPROJECT.read_text())
    own = project["project"]
    extras, groups = own["optional-dependencies"], project["dependency-groups"]
    lists = [own["dependencies"], *extras.values(), *groups.values()]
    asked = [requirement for part in lists for requirement in part]
    for requirement in map(Requirement, asked):
        found = [p for p in pins() if canonicalize_name(p.name) == requirement.name]
        assert found, f"{requirement.name} is not pinned: run scripts/lock"
        versions = [next(iter(p.specifier)).version for p in found]
        assert all(requirement.specifier.contains(v) for v in versions), requirement


def test_pins_are_exact_and_name_no_host():
    assert all([s.operator for s in p.specifier] == ["=="] for p in pins())
    assert not re.search(r"https?://|--(index|find)", CONSTRAINTS.read_text())


@pytest.mark.parametrize(("example", "code"), [("calculator", 0), ("failing", 1)])
def test_example_ends_as_it_says(example, code, tmp_path):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    plain = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    environment = {**plain, "PYTHONPYCACHEPREFIX": str(tmp_path)}
    done = subprocess.run(
        command, cwd=EXAMPLES / example, env=environment, capture_output=True, text=True
    )
    assert done.returncode == code, done.stdout


def test_example_of_a_table_uses_every_key():
    table = tomllib.loads((EXAMPLES / "with_requirements" / "pyproject.toml").read_text())
    keys = set().union(*table["tool"]["ci"]["jobs"].values())
    assert keys == {"command", "env", "timeout", "cpu", "memory", "network", "artifacts"}


@pytest.mark.parametrize(
    "script",
    [
        *("quickstart", "test", "check", "lock", "engines"),
        *("runner-image", "worker-image", "server-image", "dashboard-assets", "screenshots"),
    ],
)
def test_scripts_can_be_started(script):
    path = ROOT / "scripts" / script
    assert os.access(path, os.X_OK)
    assert path.read_text().startswith("#!/usr/bin/env python3\n")
