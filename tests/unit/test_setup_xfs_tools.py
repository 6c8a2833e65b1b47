import pytest

from setup_steps import apt, xfs_tools
from setup_steps.console import SetupError


@pytest.fixture
def machine(monkeypatch):
    """A machine with or without the tools, and with or without apt; what was installed there."""
    installed = []

    def make(*, has_tools, has_apt):
        tools = {"mkfs.xfs": "/sbin/mkfs.xfs"} if has_tools else {}
        monkeypatch.setattr(xfs_tools.shutil, "which", tools.get)
        monkeypatch.setattr(apt, "is_usable", lambda: has_apt)
        monkeypatch.setattr(apt, "install", installed.append)
        return installed

    return make


def test_missing_tools_are_installed(machine):
    installed = machine(has_tools=False, has_apt=True)
    xfs_tools.ensure()
    assert installed == ["xfsprogs"]


@pytest.mark.parametrize(("has_tools", "has_apt"), [(True, True), (True, False), (False, False)])
def test_otherwise_nothing_is_installed(machine, has_tools, has_apt):
    installed = machine(has_tools=has_tools, has_apt=has_apt)
    xfs_tools.ensure()
    assert installed == []


def test_a_failed_installation_stops_nothing(machine, monkeypatch, capsys):
    def fail(_):
        raise SetupError("no network")

    machine(has_tools=False, has_apt=True)
    monkeypatch.setattr(apt, "install", fail)
    xfs_tools.ensure()
    told = capsys.readouterr()
    assert "XFS will be skipped. no network" in told.out + told.err
