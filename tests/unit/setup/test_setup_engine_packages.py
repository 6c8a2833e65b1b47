import pytest

from setup_steps import apt, engine_packages
from setup_steps.console import SetupError
from support.own_engines import ENGINES


@pytest.fixture
def machine(monkeypatch):
    """A machine with these programs, and with or without apt; what was installed there."""
    installed = []

    def make(*programs, has_apt=True):
        found = {name: f"/usr/bin/{name}" for name in programs}
        monkeypatch.setattr(engine_packages.shutil, "which", found.get)
        monkeypatch.setattr(apt, "is_usable", lambda: has_apt)
        monkeypatch.setattr(apt, "install", lambda *packages: installed.extend(packages))
        return installed

    return make


def test_the_engines_are_those_that_the_tests_know():
    assert set(engine_packages.PACKAGES) == set(ENGINES)


def test_only_what_is_missing_for_these_engines_is_installed(machine):
    installed = machine("runc", "podman")
    engine_packages.ensure(["podman", "gvisor"])
    assert installed == ["catatonit", "runsc"]


@pytest.mark.parametrize(("programs", "has_apt"), [(["runsc"], True), ([], False)])
def test_otherwise_nothing_is_installed(machine, programs, has_apt):
    installed = machine(*programs, has_apt=has_apt)
    engine_packages.ensure(["gvisor"])
    assert installed == []


def test_a_failed_installation_stops_nothing(machine, monkeypatch, capsys):
    def fail(*_):
        raise SetupError("no network")

    machine()
    monkeypatch.setattr(apt, "install", fail)
    engine_packages.ensure(["gvisor"])
    told = capsys.readouterr()
    assert "skipped. no network" in told.out + told.err
