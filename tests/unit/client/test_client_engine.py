"""`ci submit engine`: its parts, and the real command against a scripted server."""

import hashlib
import json
import os
import pty
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from client_scripted_server import (
    DETAILS,
    JOB,
    complete,
    log,
    reply,
    reply_json,
    scripted_server,
    stream,
)

from ci_client.command.model_results import read_results, statistics_table
from ci_client.command.model_run import ModelOptions, is_model, job_command, model_run
from ci_client.command.progress_lines import ProgressOutput
from ci_client.errors import ModelResultError, UsageError
from ci_common.model_result import result_hash

ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "engine/golden/term_life_100x10"
DOCUMENT = {
    "statistics": {
        "mean_npv": 22009362.604, "std_dev": 0.1, "cte_95": -1.5, "min": -2.0, "max": 1e16,
        "percentiles": {"p50": 1.0, "p99.5": 3.0, "p75": 2.0, "p100": 4.0},
    },
    "scenario_count": 1000,
    "policy_count": 10000,
    "distribution": [0.1, 1e-7, 1e22, -0.0],
}  # fmt: skip


def signed(document):
    return {**document, "result_hash": result_hash(document)}


def test_a_phase_cannot_garble_the_terminal(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    output = ProgressOutput()
    output.write(b'::progress {"current":1,"total":2,"phase":"\\u001b[2J"}\n')
    output.close()
    error = capsys.readouterr().err
    assert "\\x1b[2J" in error
    assert "\x1b[2J" not in error


def test_the_table():
    assert statistics_table(signed(DOCUMENT)).splitlines() == [
        "10,000 policies, 1,000 scenarios",
        "  Mean NPV                         22,009,362.60",
        "  Standard deviation                        0.10",
        "  Least                                    -2.00",
        "  CTE 95 (lowest 5 %)                      -1.50",
        "  Percentile 50                             1.00",
        "  Percentile 75                             2.00",
        "  Percentile 99.5                           3.00",
        "  Percentile 100                            4.00",
        "  Greatest             10,000,000,000,000,000.00",
        f"result_hash {result_hash(DOCUMENT)}",
    ]


def test_the_hash_is_the_engines():
    command = [sys.executable, "-m", "engine", "run", str(GOLDEN), "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    document = json.loads(done.stdout)
    assert result_hash(document) == document["result_hash"]


@pytest.mark.parametrize("key", ["scenario_count", "distribution", "result_hash"])
def test_a_changed_result_is_refused(tmp_path, key):
    changed = {"scenario_count": 999, "distribution": [0.1], "result_hash": "0" * 64}[key]
    file = tmp_path / "results.json"
    file.write_text(json.dumps(signed(DOCUMENT)))
    assert read_results(file) == signed(DOCUMENT)
    file.write_text(json.dumps({**signed(DOCUMENT), key: changed}))
    with pytest.raises(ModelResultError, match="result_hash"):
        read_results(file)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"statistics": 1}', "[" * 100000, "\xff"])
def test_what_is_no_result_is_refused(tmp_path, text):
    file = tmp_path / "results.json"
    with pytest.raises(ModelResultError, match="left no"):
        read_results(file)
    file.write_text(text, encoding="latin-1")
    with pytest.raises(ModelResultError, match="not a result"):
        read_results(file)


def test_the_command():
    assert job_command(ModelOptions())[:6] == ["python", "-P", "-m", "engine", "run", "."]
    options = ModelOptions(5, 0, 2, True, 1.1, 1e-7, 0.0, "here", True)
    assert job_command(options)[10:] == [
        "--scenarios=5", "--seed=0", "--threads=2", "--mortality-mult=1.1", "--lapse-mult=1e-07",
        "--expense-mult=0.0", "--per-policy",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"model.toml": ""}, True),
        ({"livecalc.config.json": ""}, True),
        ({"model.json": ""}, False),
        ({"model.toml": "", "pyproject.toml": "[tool.ci.jobs.test]"}, True),
        ({"model.toml": "", "pyproject.toml": "[tool]\nci = 1"}, True),
        ({"model.toml": "", "pyproject.toml": "broken"}, True),
        ({"model.toml": "", "pyproject.toml": "[tool.ci.jobs.engine]"}, False),
        ({"model.toml": "", "ci.toml": "[jobs.engine]"}, False),
        ({"model.toml": "", "ci.toml": "", "pyproject.toml": "[tool.ci.jobs.engine]"}, True),
    ],
)
def test_what_is_a_model(tmp_path, files, expected):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert is_model(str(tmp_path), "engine") is expected
    assert not is_model(str(tmp_path), "test")
    assert not is_model(str(tmp_path), None)


def test_the_engines_options_are_for_models(tmp_path):
    assert model_run(str(tmp_path), "engine", ModelOptions()) is None
    with pytest.raises(UsageError, match="engine"):
        model_run(str(tmp_path), "engine", ModelOptions(verify_local=True))


@pytest.fixture
def server():
    with scripted_server() as server:
        server.on("POST /submit-async", reply_json({"job_id": JOB}, 202))
        server.on(f"GET /jobs/{JOB}", reply_json(DETAILS))
        text = 'one\n::progress {"current":1,"total":2,"phase":"scenarios"}\ntwo\n'
        ends = stream(log(text, len(text)), complete(), then="end")
        server.on(f"GET /jobs/{JOB}/stream", ends)
        yield server


def leave(server, files):
    """Let the job leave these artifacts."""
    listed = [
        {"path": path, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for path, content in files.items()
    ]
    server.on(f"GET /jobs/{JOB}/artifacts", reply_json(listed))
    for path, content in files.items():
        route = f"GET /jobs/{JOB}/artifacts/{path}"
        server.on(route, reply(200, content, "application/octet-stream"))


@pytest.fixture
def arguments(server, tmp_path):
    """What starts `ci ARGUMENTS…` in an empty directory, beside a directory called `model`."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model/model.toml").write_text("")
    (tmp_path / "here").mkdir()
    code = "import sys; from ci_client.cli import main; sys.argv[0] = 'ci'; main()"
    env = {**os.environ, "PYTHONPATH": str(ROOT), "CI_SERVER_URL": server.url, "TERM": "xterm"}

    def arguments(*words):
        command = [sys.executable, "-c", code, *words]
        return {"args": command, "cwd": tmp_path / "here", "env": env}

    return arguments


SUBMIT = ("submit", "engine", "--path", "../model")


def run(arguments):
    done = subprocess.run(**arguments, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return done.returncode, done.stdout, done.stderr.decode()


def good_files():
    return {
        "output/results.json": json.dumps(signed(DOCUMENT)).encode(),
        "output/npv.npy": b"npy",
        "other.txt": b"not of the results",
    }


def test_results_are_fetched_checked_and_shown(server, arguments, tmp_path):
    leave(server, good_files())
    code, out, err = run(arguments(*SUBMIT, "--scenarios", "5"))
    assert (code, out.splitlines()[1][:10]) == (0, b"::progress")  # not a terminal: every byte
    assert statistics_table(signed(DOCUMENT)) in err
    made = tmp_path / "here" / f"model-results-{JOB[:8]}"
    assert sorted(made.glob("[!.]*")) == [made / "npv.npy", made / "results.json"]
    body = server.asked("POST /submit-async")[0].body
    assert b'"job": "engine"' in body
    assert b'"--scenarios=5"' in body


def test_a_directory_of_ones_own(server, arguments, tmp_path):
    leave(server, good_files())
    assert run(arguments(*SUBMIT, "--output", "mine/new"))[0] == 0
    assert (tmp_path / "here/mine/new/npv.npy").read_bytes() == b"npy"


def test_results_inside_of_the_model_are_not_sent_again(server, arguments, tmp_path):
    leave(server, good_files())
    (tmp_path / "here/model.toml").write_text("")
    here = ("submit", "engine", "--path", ".")
    for words in (here, (*here, "--output", "mine/new"), here):
        assert run(arguments(*words))[0] == 0
    sent = server.asked("POST /submit-async")[2].body
    assert b"model.toml" in sent
    assert b"npv.npy" not in sent


def test_a_directory_of_the_users_stays_as_git_sees_it(server, arguments, tmp_path):
    leave(server, good_files())
    assert run(arguments(*SUBMIT, "--output", "."))[0] == 0
    assert not (tmp_path / "here/.gitignore").exists()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "left no results.json"),
        ({"output/results.json": b"{}"}, "not a result"),
        ({"output/results.json": json.dumps({**DOCUMENT, "result_hash": "0"}).encode()}, "not 0"),
    ],
)
def test_results_that_are_not_right(server, arguments, files, message):
    leave(server, files)
    code, _, err = run(arguments(*SUBMIT))
    assert code == 1
    assert message in err


def test_a_local_run_that_fails(server, arguments):
    leave(server, good_files())
    code, _, err = run(arguments(*SUBMIT, "--verify-local"))
    assert code == 1
    assert "The local run failed: exit code 1" in err
    assert "model.toml" in err


def test_a_local_run_that_differs(server, arguments, tmp_path):
    (tmp_path / "model/model.toml").unlink()
    for file in GOLDEN.iterdir():
        (tmp_path / "model" / file.name).write_bytes(file.read_bytes())
    leave(server, good_files())
    code, _, err = run(arguments(*SUBMIT, "--verify-local"))
    assert code == 1
    assert "The local result differs" in err


def test_a_job_that_fails_leaves_nothing_here(server, arguments, tmp_path):
    failed = complete(success=False, exit_code=1)
    server.on(f"GET /jobs/{JOB}/stream", stream(failed, then="end"))
    assert run(arguments(*SUBMIT))[0] == 1
    assert list((tmp_path / "here").iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [
        ("submit", "test", "--path", "../model", "--seed", "1"),
        ("submit", "engine", "--path", ".", "--per-policy"),
        (*SUBMIT, "--detach", "--verify-local"),
        (*SUBMIT, "--seed", "1", "--", "true"),
        (*SUBMIT, "--scenarios", "0"),
    ],
)
def test_options_that_do_not_go_together(server, arguments, words):
    assert run(arguments(*words))[0] == 2
    assert not server.requests


def test_a_command_of_ones_own_is_a_usual_job(server, arguments, tmp_path):
    assert run(arguments(*SUBMIT, "--", "true"))[0] == 0
    assert b'"command": ["true"]' in server.asked("POST /submit-async")[0].body
    assert list((tmp_path / "here").iterdir()) == []


def test_on_a_terminal_progress_is_a_bar(server, arguments):
    leave(server, good_files())
    master, slave = pty.openpty()
    process = subprocess.Popen(**arguments(*SUBMIT), stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    shown = bytearray()
    reader = threading.Thread(target=_read, args=(master, shown))
    reader.start()
    assert process.wait(60) == 0
    reader.join(60)
    os.close(master)
    text = shown.decode()
    assert "::progress" not in text
    assert re.search(r"scenarios .*1/2", text)
    assert "Mean NPV" not in text  # the job's own log has shown it
    assert "their result_hash matches" in text
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1  # the cursor is back
    assert re.search(r"^(\x1b\[2K|\r)*one\r$", text, re.MULTILINE)


def _read(descriptor, shown):
    try:
        while content := os.read(descriptor, 65536):
            shown += content
    except OSError:
        return
