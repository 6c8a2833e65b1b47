"""`ci run` where no server can be. tests/e2e/test_local_run.py has the others."""

import os

import pytest

NOT_INSTALLED = "import sys\nfor name in ({}): sys.modules[name] = None\n"
"""As in tests/unit/client/test_client_portability.py: a sitecustomize."""


@pytest.fixture
def without(run, tmp_path):
    """Run `ci ARGUMENTS…` where these modules are not installed."""

    def without(modules, *arguments):
        (tmp_path / "blocked").mkdir()
        names = "".join(f"{name!r}," for name in modules)
        (tmp_path / "blocked/sitecustomize.py").write_text(NOT_INSTALLED.format(names))
        path = os.pathsep.join([str(tmp_path / "blocked"), os.getcwd()])
        return run(*arguments, through=["env", f"PYTHONPATH={path}"])

    return without


@pytest.mark.parametrize(
    "modules",
    [
        ("uvicorn", "fastapi", "docker", "pydantic", "pydantic_settings", "aiosqlite"),
        ("zstandard",),
    ],
    ids=["the client alone", "a part that only the server looks for"],
)
def test_without_the_servers_extra(without, modules):
    code, out, err = without(modules, "run", "--", "true")
    assert (code, out) == (2, b"")
    assert 'pip install "ci-runner[server]"' in err


@pytest.mark.parametrize("options", [["--detach"], ["--server", "x"], ["--priority", "1"]])
def test_options_that_need_a_server_that_stays(run, options):
    code, out, err = run("run", *options)
    assert (code, out) == (2, b"")
    assert f"No such option: {options[0]}" in err


def test_nothing_is_started_for_a_project_that_is_not_there(run):
    code, out, err = run("run", "--path", "nowhere")
    assert (code, out) == (2, b"")
    assert "Local server" not in err


def test_help_names_what_it_takes(run):
    code, out, _ = run("run", "--help")
    assert code == 0
    assert b"[-- COMMAND...]" in out
    assert b"--download" in out
