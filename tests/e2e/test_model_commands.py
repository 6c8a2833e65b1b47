"""`ci model` with a real server and a real container, through pipes and on a terminal."""

import json
import shutil
import subprocess
import sys

import pytest

from support import engine
from support.administration import create_key, create_user
from support.command_line import CommandLine, environment
from support.live_server import ROOT, LiveServer
from support.pages import code_of, page

pytestmark = pytest.mark.docker

LONG = 2_000_000
"""Scenarios that take longer than any test."""


@pytest.fixture
def model(tmp_path):
    """The example with fewer scenarios, in a directory of the user's."""
    directory = shutil.copytree(ROOT / "examples/term_life", tmp_path / "portfolio")
    return with_scenarios(directory, 20)


def with_scenarios(directory, count):
    text = (directory / "model.toml").read_text()
    changed = text.replace("count = 1000", f"count = {count}")
    assert changed != text
    (directory / "model.toml").write_text(changed)
    return directory


@pytest.fixture
def long_model(tmp_path):
    directory = shutil.copytree(ROOT / "examples/term_life", tmp_path / "long")
    return with_scenarios(directory, LONG)


@pytest.fixture
def invalid(model):
    expenses = model / "expenses.csv"
    expenses.write_text(expenses.read_text().replace("claim_expense", "unheard_of"))
    return model


def submitted(user, directory, *options):
    done = user.run("model", "submit", directory, "--detach", "--json", *options)
    assert done.code == 0, done.err
    return json.loads(done.out)["jobId"]


# ------------------------------------------------------------------ from directory to result


def test_from_a_directory_to_its_result(user, model):
    before = sorted(model.iterdir())
    done = user.run("model", "submit", model, "--verify-local")
    assert done.code == 0, done.err
    results = user.directory / f"portfolio-results-{done.job_id[:8]}"
    found = json.loads((results / "results.json").read_bytes())
    assert (found["policy_count"], found["scenario_count"]) == (10_000, 20)
    assert f"The local result is the same: {found['result_hash']}" in done.err
    assert "10,000 policies, 20 scenarios\n  Mean NPV" in done.err
    assert (results / "npv.png").read_bytes().startswith(b"\x89PNG")
    assert b'::progress {"current":20,"total":20' in done.out
    assert sorted(model.iterdir()) == before


def test_a_job_that_was_detached(user, model):
    job_id = submitted(user, model, "--name", "Term life", "--priority", 3)
    watched = user.run("model", "watch", job_id)
    assert watched.code == 0, watched.err
    assert b'::progress {"current":20,"total":20' in watched.out
    assert "10,000 policies, 20 scenarios\n  Mean NPV" in watched.err
    status = user.run("model", "status", job_id)
    assert "Model:      Term life\nStatus:     completed\nPriority:   3\n" in status.text
    assert "  Mean NPV" in status.text
    fetched = user.run("model", "results", job_id)
    assert fetched.code == 0, fetched.err
    directory = user.directory / f"Term life-results-{job_id[:8]}"
    assert (directory / "npv.npy").exists()
    found = json.loads(user.run("model", "results", job_id, "--json").out)
    of_file = json.loads((directory / "results.json").read_bytes())
    assert found["resultHash"] == of_file["result_hash"]
    assert found["statistics"]["mean"] == of_file["statistics"]["mean_npv"]


def test_the_job_reads_the_packages_manifest(server, user, model):
    """The engine verifies it; a wrong one in the directory does not get there."""
    (model / "manifest.json").write_text('{"assets": [{"relativePath": "gone.csv", "hash": "0"}]}')
    done = user.run("model", "submit", model)
    assert done.code == 0, done.err
    assert "Warning: manifest.json of the directory does not match its files" in done.err


def test_a_written_package_is_what_submit_sends(server, user, model):
    written = json.loads(user.run("model", "package", model, "-o", "p.zip", "--json").out)
    job_id = submitted(user, model)
    job = server.http.get(f"/v1/jobs/{job_id}").json()
    assert job["packageHash"] == written["sha256"]


def test_the_program_of_the_page(server, user, model):
    code = code_of(page("models.md"), "Command line", "python")
    code = code.replace("http://localhost:8000", server.url)
    code = code.replace('"examples/term_life"', repr(str(model)))
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=user.directory,
        env=environment(server.url),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *events, last = done.stdout.splitlines()
    assert set(events) == {"log", "status", "complete"}
    assert last.startswith("completed None ")
    assert (user.directory / "results/results.json").exists()


# ------------------------------------------------------------------ what goes wrong


def test_no_model_in_the_directory(user, model, tmp_path):
    done = user.run("model", "submit", tmp_path)
    assert (done.code, done.out) == (2, b"")
    assert "neither model.toml nor livecalc.config.json" in done.err
    assert f"Did you mean {model}?" in done.err
    (model / "livecalc.config.json").write_text("{}")
    done = user.run("model", "submit", model)
    assert (done.code, done.out) == (2, b"")
    assert "both model.toml and livecalc.config.json" in done.err


def test_a_model_that_is_not_valid(user, invalid):
    done = user.run("model", "submit", invalid)
    assert done.code == 1
    assert "'unheard_of' is not one of" in done.err
    assert "Traceback" not in done.err
    status = user.run("model", "status", done.job_id)
    assert "Status:     failed" in status.text
    assert "  expenses.csv, row 5, column name: 'unheard_of'" in status.text
    fetched = user.run("model", "results", done.job_id)
    assert (fetched.code, fetched.out) == (1, b"")
    assert f"Job {done.job_id} failed:\nexpenses.csv, row 5" in fetched.err
    assert user.run("model", "cancel", done.job_id).code == 2
    assert not list(user.directory.glob("*results*"))


def test_cancel_stops_a_running_job(server, user, long_model):
    job_id = submitted(user, long_model)
    server.under_way(job_id, b'"phase":"scenarios"')
    early = user.run("model", "results", job_id)
    assert (early.code, early.out) == (2, b"")
    assert f"Job {job_id} is running" in early.err
    done = user.run("model", "cancel", job_id)
    assert (done.code, done.text) == (0, f"Job {job_id} cancelled.\n")
    assert user.run("model", "watch", job_id).code == 4
    assert server.finished(job_id)["status"] == "cancelled"
    assert user.run("model", "results", job_id).code == 4
    assert "already finished" in user.run("model", "cancel", job_id).err


@pytest.mark.parametrize("command", ["status", "watch", "results", "cancel"])
def test_an_unknown_job(user, command):
    job_id = "00000000-0000-4000-8000-000000000000"
    done = user.run("model", command, job_id)
    assert (done.code, done.out) == (2, b"")
    assert f"Job {job_id} was not found" in done.err


# ------------------------------------------------------------------ on a terminal


def test_on_a_terminal(user, model):
    code, text = user.on_terminal("model", "submit", model).end()
    assert code == 0
    assert "::progress" not in text
    assert text.count("Mean NPV") == 1
    assert "their result_hash matches" in text
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h")  # the cursor is back


def test_ctrl_c_on_a_terminal_cancels(server, user, long_model):
    terminal = user.on_terminal("model", "submit", long_model)
    terminal.until_shown(b"scenarios")
    terminal.press_ctrl_c()
    code, text = terminal.end()
    assert code == 130
    assert "\u2717 cancelled in " in text
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h")
    (job,) = server.http.get("/v1/jobs", params={"limit": 1}).json()["jobs"]
    assert job["jobId"] in text
    assert server.finished(job["jobId"])["status"] == "cancelled"
    server.until(
        lambda: engine.containers_of(server),
        lambda found: job["jobId"] not in found,
        "no container",
    )


def test_ctrl_c_in_watch_only_stops_watching(server, user, long_model):
    job_id = submitted(user, long_model)
    terminal = user.on_terminal("model", "watch", job_id)
    terminal.until_shown(b"scenarios")
    terminal.press_ctrl_c()
    code, text = terminal.end()
    assert code == 130
    assert f"ci model watch {job_id}" in text
    assert server.job(job_id)["status"] == "running"
    assert user.run("model", "cancel", job_id).code == 0
    assert server.finished(job_id)["status"] == "cancelled"


# ------------------------------------------------------------------ other tenants


@pytest.fixture
def guarded(tmp_path_factory):
    with LiveServer(tmp_path_factory.mktemp("guarded")) as server:
        create_user(server, "ann@example.com", "--tenant", "red")
        create_user(server, "bob@example.com", "--tenant", "blue")
        yield server.start().ready()


def test_another_tenants_job(guarded, model, tmp_path):
    line = CommandLine(guarded.url, tmp_path)
    ann = {"CI_API_KEY": create_key(guarded, "ann@example.com")}
    bob = {"CI_API_KEY": create_key(guarded, "bob@example.com")}
    done = line.run("model", "submit", model, **ann)
    assert done.code == 0, done.err
    for command in ("status", "watch", "results"):
        other = line.run("model", command, done.job_id, **bob)
        assert (other.code, other.out) == (2, b"")
        assert f"Job {done.job_id} was not found" in other.err
    other = line.run("model", "cancel", done.job_id, **bob)
    assert (other.code, other.out) == (2, b"")
    nobody = line.run("model", "status", done.job_id)
    assert (nobody.code, nobody.out) == (2, b"")
    assert "requires authentication" in nobody.err
    assert line.run("model", "status", done.job_id, **ann).code == 0
    line.close()
