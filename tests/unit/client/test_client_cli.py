"""The real commands as real processes, against a scripted server."""

import json
import subprocess
import sys
from importlib.metadata import version

import pytest
from client_scripted_server import (
    CANCEL,
    DETAILS,
    FINISHED,
    JOB,
    RETRY_SOON,
    STREAM,
    answer_commands,
    complete,
    error,
    event,
    log,
    reply_json,
    scripted_server,
    status,
    stream,
)

from ci_client.command.display import job_details, job_table, result_line, say
from ci_client.command.job_card import job_card
from ci_common.events import LogEvent
from ci_server.apis.native.present import event_json


@pytest.fixture
def server(server):
    return answer_commands(server)


def test_submit_keeps_log_and_talk_apart_byte_by_byte(server, run):
    content = b"\xff\x00\r50%\r\x1b[31m100%\n no end"
    wire = event(event_json(LogEvent(content, len(content))), len(content))
    server.on(STREAM, stream(RETRY_SOON, status("running", 0), wire, complete()))
    code, out, err = run("submit")
    assert (code, out) == (0, content)
    assert f"Watch it from anywhere with: ci wait {JOB} --server {server.url}\n" in err
    assert "status: running" in err
    assert "✓ passed in " in err


@pytest.mark.parametrize(
    ("changes", "code", "says"),
    [
        ({"success": False, "exit_code": 2}, 1, "✗ failed: exit code 2"),
        ({"success": False, "reason": "oom", "message": "Out of memory"}, 1, "Out of memory"),
        ({"success": False, "status": "failed", "reason": "setup_failed", "message": "m"}, 1, "m"),
        ({"success": False, "status": "failed", "reason": "lost", "message": "gone"}, 3, "gone"),
        (
            {
                "success": False,
                "status": "failed",
                "reason": "image_unavailable",
                "message": "the image 'slimm' is not on the engine; check the name of the image",
            },
            2,
            "✗ failed: the image 'slimm'",
        ),
        (
            {"success": False, "status": "failed", "reason": "image_unavailable", "message": "m"},
            3,
            "✗ infrastructure failure: m",
        ),
        (
            {"success": False, "status": "failed", "reason": "timeout", "message": "1 s"},
            5,
            "timed out",
        ),
        ({"success": False, "status": "cancelled", "reason": "cancelled"}, 4, "cancelled"),
        (
            {"success": False, "status": "failed", "reason": "brand_new", "message": None},
            1,
            "brand_new",
        ),
    ],
)
def test_exit_codes(server, run, changes, code, says):
    server.on(STREAM, stream(complete(**changes)))
    found, out, err = run("wait", JOB)
    assert (found, out) == (code, b"")
    assert says in err
    assert f"(ci logs {JOB})" in err


def test_a_time_out_is_told_once(server, run):
    message = "stopped: it ran longer than its timeout of 4 s"
    changes = {"success": False, "status": "failed", "reason": "timeout", "message": message}
    server.on(STREAM, stream(complete(**changes)))
    assert f"✗ timed out: it ran longer than its timeout of 4 s (ci logs {JOB})" in run("submit")[2]


@pytest.mark.parametrize(
    ("address", "code", "says"),
    [
        ("bogus.invalid", 3, "(unknown host name)"),
        ("bogus.invalid", 3, "with --server, CI_SERVER_URL or"),
        (
            "http://",
            2,
            "CI_SERVER_URL: 'http://' is not a server address; it should look like",
        ),
    ],
)
def test_a_wrong_address_in_the_environment(run, address, code, says):
    found, _, err = run("list", through=["env", f"CI_SERVER_URL={address}"])
    assert found == code
    assert says in err


def test_ci_submit_with_name_command_and_include(server, run, project):
    (project / ".coveragerc").touch()
    server.on(STREAM, stream(complete()))
    code, _, err = run("lint", "--", "echo", "--path", "x", entry="submit_main")
    assert code == 0
    assert "Not sent: hidden files: .coveragerc (--include PATTERN sends hidden ones)" in err
    body = server.asked("POST /submit-async")[0].body
    assert b'{"job": "lint", "command": ["echo", "--path", "x"]}' in body
    code, _, err = run("--include", ".coveragerc", "--", "true", entry="submit_main")
    assert "Not sent" not in err
    body = server.asked("POST /submit-async")[1].body
    assert b'{"job": null, "command": ["true"]}' in body
    assert b".coveragerc" in body


def test_ci_submit_that_is_to_install_nothing(server, run):
    server.on(STREAM, stream(complete()))
    assert run("submit", "--no-install")[0] == 0
    body = server.asked("POST /submit-async")[0].body
    assert b'{"job": null, "command": null, "install": false}' in body


@pytest.mark.parametrize("flag", ["--async", "--detach"])
def test_async(server, run, flag):
    code, out, err = run("submit", flag)
    assert (code, out) == (0, f"Job submitted: {JOB}\n".encode())
    assert f"ci wait {JOB}" in err
    assert server.asked(STREAM) == []


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (error(400, "invalid_config", "The table is broken"), 2),
        (error(400, "unknown_job_name", "No room for it"), 2),
        (error(400, "unknown_secret", "No room for it"), 2),
        (error(413, "upload_too_large", "Too large"), 2),
        (error(507, "disk_full", "No room"), 3),
        (error(403, "quota_exceeded", "Too large a tenant"), 2),
        (error(429, "too_many_uploads", "No room. Try again in 7 s.", Retry_After="7"), 3),
        (error(429, "too_many_jobs", "No room"), 3),
    ],
)
def test_refused_submissions(server, run, answer, code):
    server.on("POST /submit-async", answer)
    found, out, err = run("submit")
    assert (found, out) == (code, b"")
    assert any(text in err for text in ("The table is broken", "Too large", "No room"))
    assert len(server.asked("POST /submit-async")) == 1


@pytest.mark.parametrize(
    "arguments",
    [["nonsense"], ["submit", "--nonsense"], ["submit", "--"], ["submit", "--path", "/not/there"],
     ["wait"], ["logs", JOB, "--tail", "-1"], ["list", "--status", "odd"], ["list", "--limit", "x"],
     ["list", "--server", "ftp://x"]],
)  # fmt: skip
def test_usage_errors(run, arguments):
    code, out, err = run(*arguments)
    assert (code, out) == (2, b"")
    assert "Error" in err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("ps", "No such command 'ps'. Did you mean ci list?"),
        ("exec", "No such command 'exec'. Did you mean ci submit?"),
        ("health", "No such command 'health'. Did you mean ci server?"),
        ("version", "No such command 'version'. Did you mean ci --version?"),
        (
            "profiles",
            "No such command 'profiles'. Did you mean ci whoami (--profile NAME selects one)?",
        ),
        ("sbmit", "No such command 'sbmit'. Did you mean ci submit?"),
        ("frobnicate", "No such command 'frobnicate'."),
        ("model pakage", "No such command 'pakage'. Did you mean ci model package?"),
        ("submit --priorty=3", "No such option: --priorty. Did you mean --priority?"),
        ("submit --dir x", "No such option: --dir. Did you mean --path?"),
        ("submit --nonsense", "No such option: --nonsense"),
        ("list -n 5", "No such option: -n. Did you mean --limit?"),
        ("logs -n 5", "No such option: -n. Did you mean --tail?"),
        ("list --running", "No such option: --running. Did you mean --status running?"),
        ("list --branch x", "No such option: --branch. Did you mean --label git.branch=…?"),
        ("--verson", "No such option: --verson. Did you mean --version?"),
    ],
)
def test_did_you_mean(run, arguments, says):
    code, _, err = run(*arguments.split())
    assert (code, err.splitlines()[-1]) == (2, f"Error: {says}")


@pytest.mark.parametrize(
    ("file", "table"),
    [
        ("pyproject.toml", "In [tool.ci.jobs.NAME], set"),
        ("ci.toml", "In [jobs.NAME] of ci.toml, set"),
    ],
)
def test_a_hint_names_the_table_that_is_meant(server, run, project, file, table):
    (project / file).write_text("")
    server.on(STREAM, stream(complete(success=False, exit_code=127)))
    assert table in run("submit")[2]


def test_a_command_that_is_taken_for_a_name(server, run):
    code, _, err = run("submit", "python -m pytest")
    assert (code, "did you mean: ci submit -- python -m pytest" in err) == (2, True)
    refused = error(400, "unknown_job_name", "the project has no job 'pytest'; it has: test")
    server.on("POST /submit-async", refused)
    code, _, err = run("submit", "pytest")
    assert (code, "To run a program: ci submit -- pytest" in err) == (2, True)


@pytest.mark.parametrize("timeout", ["1x", "", "0", "-5m", "1 h"])
def test_a_timeout_that_is_none_is_refused_before_anything_is_sent(server, run, timeout):
    code, out, err = run("submit", "--timeout", timeout)
    assert (code, out) == (2, b"")
    assert "--timeout" in err
    assert "10m" in err
    assert server.asked("POST /submit-async") == []


def test_version(run):
    assert run("--version") == (0, f"ci {version('ci-runner')}\n".encode(), "")


def test_an_unknown_key_in_the_configuration_file(run, project):
    (project.parent / ".ci").mkdir()
    (project.parent / ".ci/config").write_text('sever = "https://ci.example.com"\n')
    code, out, err = run("list")
    assert (code, out) == (2, b"")
    assert "'sever'" in err


def test_server_unreachable(run):
    with scripted_server() as gone:
        url = gone.url
    for command in (["submit"], ["wait", JOB], ["list"], ["logs", JOB + "x"]):
        code, out, err = run(*command, "--server", url)
        assert out == b""
        if command[0] == "logs":
            assert (code, "not found" in err) == (2, True)
        else:
            assert code == 3
            assert f"Cannot reach the server at {url} (connection refused)" in err


def test_wait_on_a_finished_job(server, run):
    server.on(f"GET /jobs/{JOB}", reply_json(FINISHED))
    server.on(STREAM, stream(log("whole\n", 6), complete(success=False, exit_code=1)))
    code, out, err = run("wait", JOB)
    assert (code, out) == (1, b"")
    assert "already completed: ✗ failed in 3.2 s: exit code 1" in err
    code, out, _ = run("wait", JOB, "--all")
    assert (code, out) == (1, b"whole\n")
    assert server.asked(STREAM)[0].query == {"from_beginning": "true"}


@pytest.mark.parametrize("job_id", ["no-uuid", "11111111-2222-4333-8444-555555555555"])
def test_wait_on_an_unknown_job(server, run, job_id):
    server.on(f"GET /jobs/{job_id}", error(404, "job_not_found", "No such job"))
    code, out, err = run("wait", job_id)
    assert (code, out) == (1, b"")
    assert "not found" in err


@pytest.mark.parametrize("command", ["wait", "status", "logs", "cancel", "rerun"])
def test_an_id_that_is_too_short(server, run, command):
    code, out, err = run(command, "abc")
    assert (code, out) == (2, b"")
    assert "The job id 'abc' is too short: give at least 4 characters of the id." in err
    assert server.requests == []


@pytest.mark.parametrize("command", ["status", "logs", "logs -f", "artifacts", "cancel"])
@pytest.mark.parametrize("job_id", ["no-uuid", "11111111-2222-4333-8444-555555555555"])
def test_other_commands_about_an_unknown_job(server, run, command, job_id):
    answer = error(404, "job_not_found", "No such job")
    for request in ("GET {}", "GET {}/artifacts", "POST {}/cancel"):
        server.on(request.format(f"/jobs/{job_id}"), answer)
    code, out, err = run(*command.split(), job_id)
    assert (code, out) == (2, b"")
    assert "not found" in err


def test_a_directory_with_nothing_to_send(server, run, project):
    (project / "test_a.py").unlink()
    code, _, err = run("submit")
    assert (code, "contains no files to send" in err) == (2, True)


def test_wait_survives_drops(server, run):
    server.on(
        STREAM,
        stream(RETRY_SOON, status("running", 0), log("one\n", 4)),
        stream(log("two\n", 8), complete()),
    )
    assert run("wait", JOB, "--all")[:2] == (0, b"one\ntwo\n")


def test_logs_with_tail_then_follow(server, run):
    def content(handler):
        handler.begin(206, Content_Range="bytes 0-5/6", Content_Length="6")
        handler.wfile.write(b"a\nb\nc\n")

    server.on(f"GET /jobs/{JOB}/logs", content)
    assert run("logs", JOB, "--tail", "1")[:2] == (0, b"c\n")
    server.on(STREAM, stream(log("b\nc\n", 6), log("d\n", 8), complete()))
    code, out, _ = run("logs", JOB, "-f", "--tail", "2")
    assert (code, out) == (0, b"b\nc\nd\n")
    assert server.asked(STREAM)[0].headers["last-event-id"] == "2"


def test_list(server, run):
    server.on("GET /jobs", reply_json([FINISHED, FINISHED | {"success": True}, DETAILS]))
    code, out, _ = run("list")
    lines = out.decode().splitlines()
    assert code == 0
    for heading in ("JOB ID", "STATUS", "START TIME", "END TIME", "SUCCESS", "NAME", "REASON"):
        assert heading in lines[0]
    ends = [line.split()[-7:-4] for line in lines[1:]]
    assert ends == [["✗", "test", "exit"], ["✓", "test", "exit"], ["-", "test", "-"]]
    assert all(line.startswith(JOB) for line in lines[1:])
    assert "2026-01-02 03:04:05Z" in lines[1]
    assert json.loads(run("list", "--json")[1]) == [FINISHED, FINISHED | {"success": True}, DETAILS]


def test_list_gathers_pages_up_to_the_limit(server, run):
    server.on("GET /jobs", reply_json([FINISHED], X_Next_Cursor="c"), reply_json([DETAILS]))
    assert len(json.loads(run("list", "--json", "--limit", "3")[1])) == 2
    assert server.requests[1].query == {"limit": "2", "cursor": "c"}


def test_a_long_list_is_asked_for_in_pages_that_the_server_allows(server, run):
    first = [FINISHED] * 1000
    server.on("GET /jobs", reply_json(first, X_Next_Cursor="c"), reply_json([DETAILS] * 500))
    assert len(json.loads(run("list", "--json", "--limit", "1500", "--before", JOB)[1])) == 1500
    assert [asked.query for asked in server.requests] == [
        {"limit": "1000", "cursor": JOB},
        {"limit": "500", "cursor": "c"},
    ]


def test_status_and_cancel(server, run):
    out = run("status", JOB)[1].decode()
    assert "Command:    python -m pytest -k 'a b'" in out
    assert "Status:     running" in out
    assert json.loads(run("status", JOB, "--json")[1]) == DETAILS
    assert run("cancel", JOB)[:2] == (0, f"Job {JOB} cancelled.\n".encode())
    server.on(CANCEL, error(409, "job_finished", "x"))
    code, _, err = run("cancel", JOB)
    assert (code, "already finished" in err) == (2, True)


def test_python_dash_m():
    done = subprocess.run([sys.executable, "-m", "ci_client.cli", "--help"], capture_output=True)
    assert done.returncode == 0
    assert b"submit" in done.stdout


def test_what_others_chose_does_nothing_to_a_terminal(capsys):
    title = "\x1b]0;x\x07\r"
    job = {"job_id": "1", "command": ["true", title], "message": title, "reason": title}
    job |= {"status": title, "name": title, "start_time": title, "user": title, "image": title}
    job |= {"labels": {"team": title, "git.branch": title}}
    say(result_line(job, "1"))
    say(f"two\nlines {title}")
    shown = capsys.readouterr().err + job_details(job) + job_card(job) + job_table([job])
    assert "two\nlines" in shown
    assert "\\x1b]0;x" in shown
    assert all(character.isprintable() or character == "\n" for character in shown)


def test_a_message_after_half_a_line_is_on_its_own_line_where_both_are_seen(server, run):
    server.on(STREAM, stream(log("no newline", 10), complete()))
    shown = run("wait", JOB, "--all", stderr=subprocess.STDOUT)[1].decode()
    assert "no newline\n✓ passed" in shown
    assert run("wait", JOB, "--all")[1] == b"no newline", "stdout is the log, byte by byte"
