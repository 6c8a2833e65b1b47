import pytest

from setup_steps import apt, test_tools
from setup_steps.console import SetupError

ALL = {tool.program for tool in test_tools.TOOLS}


@pytest.fixture
def machine(monkeypatch):
    """A machine with some of the tools, and with or without apt; what was installed there."""
    installed = []

    def make(*, tools=(), has_apt):
        monkeypatch.setattr(test_tools.shutil, "which", dict.fromkeys(tools, "/bin/it").get)
        monkeypatch.setattr(apt, "is_usable", lambda: has_apt)
        monkeypatch.setattr(
            apt, "install", lambda package, *, start_services: installed.append(package)
        )
        return installed

    return make


def test_missing_tools_are_installed(machine):
    installed = machine(has_apt=True)
    test_tools.ensure()
    assert installed == [tool.package for tool in test_tools.TOOLS]


def test_only_what_is_missing_is_installed(machine):
    installed = machine(tools={"chromium"}, has_apt=True)
    test_tools.ensure()
    packages = [tool.package for tool in test_tools.TOOLS]
    assert installed == [name for name in packages if name != "chromium"]


@pytest.mark.parametrize(("tools", "has_apt"), [(ALL, True), (ALL, False), ((), False)])
def test_otherwise_nothing_is_installed(machine, tools, has_apt):
    installed = machine(tools=tools, has_apt=has_apt)
    test_tools.ensure()
    assert installed == []


def test_a_failed_installation_stops_nothing(machine, monkeypatch, capsys):
    def fail(_, **__):
        raise SetupError("no network")

    machine(has_apt=True)
    monkeypatch.setattr(apt, "install", fail)
    test_tools.ensure()
    told = capsys.readouterr()
    assert "XFS will be skipped. no network" in told.out + told.err
    assert "with a browser will be skipped. no network" in told.out + told.err
