import json
import sys

import pytest

from setup_steps import check_python, venv
from setup_steps.console import SetupError

PROJECT = """
[project]
name = "x"
dependencies = ["{dependency}"]
[tool.ruff]
line-length = {length}
"""


@pytest.fixture
def clone(tmp_path):
    def write(dependency="httpx", length=100, pins="httpx==0.28.1\n", package=None):
        (tmp_path / "pyproject.toml").write_text(
            PROJECT.format(dependency=dependency, length=length)
        )
        (tmp_path / "constraints.txt").write_text(pins)
        if package:
            (tmp_path / package).mkdir()
            (tmp_path / package / "__init__.py").touch()
        return venv.digest(tmp_path)

    return write


def test_same_inputs_same_digest(clone):
    assert clone() == clone()


def test_settings_of_tools_are_no_reason_to_install(clone):
    assert clone(length=100) == clone(length=80)


@pytest.mark.parametrize(
    "change", [{"dependency": "rich"}, {"pins": "httpx==0.28.0\n"}, {"package": "ci_new"}]
)
def test_inputs_of_the_installation_change_the_digest(clone, change):
    assert clone() != clone(**change)


@pytest.fixture
def fake_venv(monkeypatch, tmp_path):
    minor = f"python{sys.version_info.major}.{sys.version_info.minor}"
    (tmp_path / "lib" / minor / "site-packages").mkdir(parents=True)
    (tmp_path / "python").touch()
    monkeypatch.setattr(venv, "VENV", tmp_path)
    monkeypatch.setattr(venv, "PYTHON", tmp_path / "python")
    monkeypatch.setattr(venv, "STAMP", tmp_path / "installed.json")
    return tmp_path


@pytest.mark.parametrize(
    ("stamped", "wanted", "current"),
    [(True, True, True), (True, False, True), (False, False, True), (False, True, False)],
)
def test_development_tools_include_the_rest(fake_venv, stamped, wanted, current):
    venv.STAMP.write_text(json.dumps({"digest": venv.digest(), "dev": stamped}))
    assert venv.is_current(dev=wanted) is current


@pytest.mark.parametrize("stamp", [None, "", "{", '{"digest": "other", "dev": true}'])
def test_a_missing_broken_or_old_stamp_is_not_current(fake_venv, stamp):
    if stamp is not None:
        venv.STAMP.write_text(stamp)
    assert not venv.is_current(dev=False)


def test_an_environment_of_another_python_is_not_current(fake_venv, monkeypatch):
    venv.STAMP.write_text(json.dumps({"digest": venv.digest(), "dev": True}))
    (fake_venv / "lib").rename(fake_venv / "lib-of-another-python")
    assert not venv.is_current(dev=False)


def test_an_old_python_is_refused():
    with pytest.raises(SystemExit, match=r"Python 3\.10\.4 .* 3\.11 or newer"):
        check_python((3, 10, 4))


def test_without_venv_module_the_package_to_install_is_named(monkeypatch):
    with pytest.raises(SetupError, match=r"apt-get install python3\.\d+-venv"):
        venv._install_venv_module(may_apt=False)


def test_uv_steps_aside_for_an_index_of_the_users_own(monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "https://packages.example/simple")
    assert not venv._uv_may_be_used([sys.executable, "-m", "pip"])
