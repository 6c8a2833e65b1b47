"""`ci model`: the real commands, against a scripted server."""

import hashlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import zipfile

import pytest
from client_scripted_artifacts import artifact, serve
from client_scripted_models import (
    COMPLETED,
    DELETE,
    DOCUMENT,
    EXAMPLE,
    FAILED,
    GET,
    HASH,
    QUEUED,
    RESULT_DATA,
    RESULTS,
    SUBMIT,
    SUBMIT_IT,
    SUBMITTED,
    TABLE,
    parts_of,
    refused,
)
from client_scripted_server import (
    CANCEL,
    DETAILS,
    FINISHED,
    JOB,
    STREAM,
    complete,
    error,
    log,
    read_until,
    reply_json,
    status,
    stream,
)

from ci_common.model_result import result_hash

# ------------------------------------------------------------------ submit


def test_submit(server, run, project, tmp_path):
    code, out, err = run(*SUBMIT_IT)
    assert code == 0, err
    assert out.startswith(b"one\n::progress")  # not a terminal: every byte
    assert f"ci model watch {JOB}" in err
    assert TABLE in err
    made = project / f"portfolio-results-{JOB[:8]}"
    assert sorted(made.glob("[!.]*")) == [made / "npv.npy", made / "results.json"]
    parts = parts_of(server.asked(SUBMIT)[0])
    assert parts["model_name"] == b"portfolio"
    assert "priority" not in parts
    (tmp_path / "sent.zip").write_bytes(parts["package"])
    with zipfile.ZipFile(tmp_path / "sent.zip") as archive:
        files = {*map(str, (path.name for path in EXAMPLE.iterdir())), "manifest.json"}
        assert set(archive.namelist()) == files
    assert b'filename="model.zip"' in server.asked(SUBMIT)[0].body
    assert not server.asked("POST /submit-async")


def test_submit_with_options(server, run, project):
    code, _, err = run(*SUBMIT_IT, "--name", "Term life", "--priority", "7", "--output", "a/b")
    assert code == 0, err
    parts = parts_of(server.asked(SUBMIT)[0])
    assert (parts["model_name"], parts["priority"]) == (b"Term life", b"7")
    assert (project / "a/b/npv.npy").read_bytes() == b"npy"


def test_results_of_a_named_model_have_its_name(server, run, project):
    assert run(*SUBMIT_IT, "--name", "Term life")[0] == 0
    assert (project / f"Term life-results-{JOB[:8]}").is_dir()


def test_detached(server, run):
    code, out, err = run(*SUBMIT_IT, "--detach")
    assert (code, out.decode()) == (0, f"Job submitted: {JOB}\n")
    assert f"ci model watch {JOB}" in err
    assert "Expected to start" not in err
    assert not server.asked(STREAM)


def test_detached_json_is_the_servers_answer(server, run):
    code, out, err = run(*SUBMIT_IT, "--detach", "--json")
    assert (code, json.loads(out), err) == (0, SUBMITTED, "")


def test_the_estimated_start_is_told(server, run):
    server.on(SUBMIT, reply_json(SUBMITTED | {"estimatedStartTime": "2026-01-02T03:14:05Z"}, 201))
    assert "Expected to start at 2026-01-02 03:14:05Z." in run(*SUBMIT_IT, "--detach")[2]
    assert "Expected to start at 2026-01-02 03:14:05Z." in run(*SUBMIT_IT)[2]


def test_a_stale_manifest_is_told_of(server, run, portfolio):
    (portfolio / "manifest.json").write_text('{"assets": [{"relativePath": "gone.csv"}]}')
    code, _, err = run(*SUBMIT_IT)
    assert code == 0
    assert "Warning: manifest.json of the directory does not match its files ('gone.csv')" in err
    count = len(server.asked(SUBMIT))
    code, _, err = run(*SUBMIT_IT, "--verify-local")
    assert code == 2
    assert "because of its manifest.json" in err
    assert len(server.asked(SUBMIT)) == count


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("../portfolio", "--detach", "--output", "x"), "cannot be combined with --detach"),
        (("../portfolio", "--detach", "--verify-local"), "cannot be combined with --detach"),
        (("../portfolio", "--json"), "--json needs --detach"),
        (("../portfolio", "--name", ""), "--name"),
        (("../portfolio", "--name", "a\nb"), "--name"),
        (("../portfolio", "--name", "x" * 201), "--name"),
        (("../portfolio", "--priority", "11"), "--priority"),
        (("../portfolio", "--scenarios", "5"), "--scenarios"),
        (("../nowhere",), "does not exist"),
        (("../portfolio/model.toml",), "is a file"),
        ((".",), "neither model.toml nor livecalc.config.json"),
        (("..",), "Did you mean ../portfolio?"),
        ((), "DIR"),
    ],
)
def test_what_is_wrong_is_told_before_the_server_is_asked(server, run, words, message):
    code, out, err = run("model", "submit", *words)
    assert (code, out) == (2, b"")
    assert message in err
    assert not server.requests


def test_two_descriptions(server, run, portfolio):
    (portfolio / "livecalc.config.json").write_text("{}")
    code, _, err = run(*SUBMIT_IT)
    assert code == 2
    assert "both model.toml and livecalc.config.json" in err
    assert not server.asked(SUBMIT)


def test_too_large_for_the_server(server, run):
    server.on("GET /limits", reply_json({"max_upload_bytes": 1000}))
    code, _, err = run(*SUBMIT_IT)
    assert code == 2
    assert "policies.csv" in err
    assert not server.asked(SUBMIT)


def test_a_package_that_the_server_refuses(server, run):
    server.on(SUBMIT, refused(400, "invalid_package", "manifest.json: 'a.csv' is not there"))
    code, _, err = run(*SUBMIT_IT)
    assert code == 2
    assert "Error: manifest.json: 'a.csv' is not there" in err


def test_a_server_without_this_door(server, run):
    server.on(SUBMIT, error(404, "not_found", "Not Found."))
    code, _, err = run(*SUBMIT_IT)
    assert code == 2
    assert "too old for the model-job API" in err
    assert "ci submit engine" in err


def test_a_model_that_fails(server, run, project):
    failed = complete(success=False, exit_code=1, message="exited with code 1")
    server.on(STREAM, stream(log("bad\n", 4), failed, then="end"))
    server.on(GET, reply_json(FAILED))
    code, out, err = run(*SUBMIT_IT)
    assert (code, out) == (1, b"bad\n")
    assert err.endswith("lapse.csv: no \\x1b[2J\nmodel.toml: none\n")
    assert list(project.iterdir()) == []
    server.on(GET, refused(500, "internal", "broken"))
    assert run("model", "watch", JOB, "--output", "x")[0] == 3  # asked before it is watched
    server.on(GET, reply_json(QUEUED), refused(500, "internal", "broken"))
    assert run("model", "watch", JOB, "--output", "x")[0] == 1


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"status": "cancelled", "reason": "cancelled"}, 4),
        ({"status": "failed", "reason": "timeout"}, 5),
        ({"status": "failed", "reason": "image_unavailable"}, 3),
    ],
)
def test_exit_codes_are_those_of_every_submission(server, run, changes, expected):
    end = complete(success=False, exit_code=None, **changes)
    server.on(STREAM, stream(end, then="end"))
    assert run(*SUBMIT_IT)[0] == run("model", "watch", JOB)[0] == expected


def test_a_local_run_that_differs(server, run):
    code, _, err = run(*SUBMIT_IT, "--verify-local")
    assert code == 1
    assert "The local result differs" in err


# ------------------------------------------------------------------ Ctrl-C


def interrupt(server, start, *words):
    server.on(STREAM, stream(status("running", 0), log("hello\n", 6), then="hang"))
    process = start(*words)
    read_until(process.stdout, b"hello\n")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert b"Traceback" not in err
    assert process.returncode == 130
    return err.decode()


def test_ctrl_c_in_submit_when_the_job_cannot_be_cancelled(server, start):
    server.on(CANCEL, error(500, "internal", "broken"))
    err = interrupt(server, start, *SUBMIT_IT)
    assert f"may not have been cancelled (broken). To make sure: ci model cancel {JOB}" in err


def test_ctrl_c_in_watch_only_stops_watching(server, start):
    err = interrupt(server, start, "model", "watch", JOB)
    assert "stopped watching" in err
    assert f"ci model watch {JOB}" in err
    assert not server.asked(CANCEL)
    assert not server.asked(DELETE)


# ------------------------------------------------------------------ watch


def test_watch(server, run, project):
    code, out, err = run("model", "watch", JOB)
    assert (code, out[:4]) == (0, b"one\n")
    assert server.asked(STREAM)[0].query["from_beginning"] == "true"
    assert TABLE in err
    assert f"ci model results {JOB}" in err
    assert list(project.iterdir()) == []


def test_watch_and_fetch(server, run, project):
    code, _, err = run("model", "watch", JOB, "--output", "there")
    assert code == 0
    assert TABLE in err
    assert (project / "there/results.json").read_bytes() == RESULTS


def test_watch_a_job_that_left_no_result(server, run):
    server.on(GET, reply_json(COMPLETED | {"resultData": None, "errorMessage": "no results.json"}))
    code, _, err = run("model", "watch", JOB)
    assert code == 1
    assert f"Error: Job {JOB} left no results:\nno results.json\n" in err


def test_on_a_terminal_progress_is_a_bar(server, start):
    master, slave = pty.openpty()
    process = start("model", "watch", JOB, stdin=slave, stdout=slave, stderr=slave)
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
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1  # the cursor is back


def _read(descriptor, shown):
    try:
        while content := os.read(descriptor, 65536):
            shown += content
    except OSError:
        return


# ------------------------------------------------------------------ results


def test_results(server, run, project):
    code, out, err = run("model", "results", JOB)
    assert code == 0, err
    assert out.decode().startswith(TABLE)
    made = project / f"Term life-results-{JOB[:8]}"
    assert (made / "results.json").read_bytes() == RESULTS
    assert f"Results in {made.name}; their result_hash matches.\n" == err


def test_results_as_json(server, run, project):
    code, out, _ = run("model", "results", JOB, "--json", "--output", "there")
    assert (code, json.loads(out)) == (0, RESULT_DATA)
    assert (project / "there/npv.npy").exists()


@pytest.mark.parametrize(
    ("job", "native", "message", "expected"),
    [
        (QUEUED, DETAILS, f"Error: Job {JOB} is queued;", 2),
        (
            FAILED,
            FINISHED,
            f"Error: Job {JOB} failed:\nlapse.csv: no \\x1b[2J\nmodel.toml: none\n",
            1,
        ),
        (FAILED, FINISHED | {"reason": "timeout"}, f"Job {JOB} failed", 5),
        (FAILED, FINISHED | {"reason": "image_unavailable"}, f"Job {JOB} failed", 3),
        (QUEUED | {"status": "cancelled"}, DETAILS, f"Job {JOB} was cancelled", 4),
        (
            COMPLETED | {"resultData": None, "errorMessage": "none"},
            FINISHED | {"success": True},
            f"Job {JOB} left no results:\nnone",
            1,
        ),
    ],
)
def test_a_job_without_results(server, run, project, job, native, message, expected):
    server.on(GET, reply_json(job))
    server.on(f"GET /jobs/{JOB}", reply_json(native))
    code, out, err = run("model", "results", JOB)
    assert (code, out) == (expected, b"")
    assert message in err
    assert list(project.iterdir()) == []


def test_files_that_are_damaged(server, run):
    listed = [artifact("output/results.json", RESULTS, sha256="0" * 64)]
    server.on(f"GET /jobs/{JOB}/artifacts", reply_json(listed))
    code, out, err = run("model", "results", JOB)
    assert (code, out) == (3, b"")
    assert "results.json" in err


def test_results_with_another_hash_than_the_servers(server, run):
    other = {**DOCUMENT, "policy_count": 9}
    content = json.dumps({**other, "result_hash": result_hash(other)}).encode()
    serve(server, {"output/results.json": content})
    code, out, err = run("model", "results", JOB)
    assert (code, out) == (1, b"")
    assert f"the server reports {HASH}" in err


# ------------------------------------------------------------------ status, cancel


def test_status(server, run):
    code, out, _ = run("model", "status", JOB)
    assert code == 0
    assert out.decode().splitlines()[:8] == [
        f"Job:        {JOB}",
        "Model:      Term life",
        "Status:     completed",
        "Priority:   3",
        "Submitted:  2026-01-02 03:04:05Z",
        "Started:    2026-01-02 03:04:06Z",
        "Ended:      2026-01-02 03:04:07Z",
        "Duration:   1.5 s",
    ]
    assert TABLE in out.decode()


def test_status_of_a_failed_job(server, run):
    server.on(GET, reply_json(FAILED | {"modelName": None}))
    code, out, _ = run("model", "status", JOB)
    assert code == 0
    assert "Model:      -\n" in out.decode()
    assert out.decode().endswith("Error:\n  lapse.csv: no \\x1b[2J\n  model.toml: none\n")


def test_status_as_json(server, run):
    code, out, _ = run("model", "status", JOB, "--json")
    assert (code, json.loads(out)) == (0, COMPLETED)


def test_cancel_also_stops_a_running_job(server, run):
    code, out, _ = run("model", "cancel", JOB)
    assert (code, out.decode()) == (0, f"Job {JOB} cancelled.\n")
    assert server.asked(DELETE)[0].query == {"force": "true"}


@pytest.mark.parametrize(
    ("answer", "expected", "message"),
    [
        (refused(404, "job_not_found", "no"), 2, "was not found on this server"),
        (refused(409, "job_finished", "late"), 2, "has already finished"),
        (refused(403, "forbidden", "This job is not yours."), 2, "This job is not yours."),
        (refused(500, "internal", "broken"), 3, "broken"),
    ],
)
def test_cancel_that_is_refused(server, run, answer, expected, message):
    server.on(DELETE, answer)
    code, out, err = run("model", "cancel", JOB)
    assert (code, out) == (expected, b"")
    assert message in err


@pytest.mark.parametrize("command", ["status", "watch", "results", "cancel"])
@pytest.mark.parametrize("job_id", ["nonsense", "00000000-0000-4000-8000-000000000000"])
def test_an_unknown_job(server, run, command, job_id):
    server.on(f"GET /v1/jobs/{job_id}", refused(404, "job_not_found", "no"))
    server.on(f"DELETE /v1/jobs/{job_id}", refused(404, "job_not_found", "no"))
    code, out, err = run("model", command, job_id)
    assert (code, out) == (2, b"")
    assert f"Job {job_id} was not found" in err


@pytest.mark.parametrize("command", ["status", "watch", "results", "cancel"])
def test_a_server_that_is_down(server, run, command):
    code, _, err = run("model", command, JOB, "--server", "http://127.0.0.1:1")
    assert code == 3
    assert "Cannot reach the server" in err


# ------------------------------------------------------------------ package


def test_package(server, run, project, portfolio):
    code, out, err = run("model", "package", "../portfolio")
    assert (code, err) == (0, "")
    assert re.fullmatch(
        r"portfolio.zip: 6 files, [\d.]+ KiB\npackageHash [0-9a-f]{64}\n", out.decode()
    )
    assert zipfile.is_zipfile(project / "portfolio.zip")
    assert (project / "portfolio.zip").stat().st_mode & 0o777 == 0o666 & ~_umask()
    assert not server.requests


def _umask():
    mask = os.umask(0o22)
    os.umask(mask)
    return mask


@pytest.mark.parametrize("name", ["m.zip", "a [b]*!.zip", "#1 .zip"])
def test_a_package_in_the_directory_is_not_in_itself(run, portfolio, name):
    told = []
    for _ in range(2):
        code, out, err = run(
            "model", "package", "../portfolio", "-o", f"../portfolio/{name}", "--json"
        )
        assert code == 0, err
        told.append(json.loads(out))
    assert told[0] == told[1]
    content = (portfolio / name).read_bytes()
    assert told[0]["sha256"] == hashlib.sha256(content).hexdigest()
    assert (told[0]["files"], told[0]["size"]) == (6, len(content))
    assert told[0]["createdAt"].endswith("Z")
    assert len(told[0]["packageHash"]) == 64


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("x.tar", "must end in .zip"),
        ("no/where.zip", "Cannot write no/where.zip"),
        ("directory.zip", "Cannot write directory.zip"),
    ],
)
def test_a_package_that_cannot_be_written(run, project, place, message):
    (project / "directory.zip").mkdir()
    code, out, err = run("model", "package", "../portfolio", "-o", place)
    assert (code, out) == (2, b"")
    assert message in err
    assert list(project.iterdir()) == [project / "directory.zip"]


def test_the_engine_runs_a_package(run, project):
    """What `package` writes is a model for every program that knows manifests."""
    assert run("model", "package", "../portfolio", "-o", "m.zip")[0] == 0
    command = [sys.executable, "-m", "engine", "validate", project / "m.zip"]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=EXAMPLE.parents[1], check=False
    )
    assert done.returncode == 0, done.stderr
