"""What the shell completes: click's protocol as each shell speaks it, and real shells."""

import os
import shutil
import stat
import subprocess
import sys
import time

import pytest
from client_scripted_server import DETAILS, FINISHED, error, hang, reply_json

from ci_client.command.commands import app, submit
from ci_client.command.programs import carry_out
from support.command_line import OnTerminal
from support.waiting import until_sync

REST = "-9d0a-4c39-8f0e-3f1d2c4b5a69"
RUNNING, FAILED, PASSED = f"aaaa1111{REST}", f"bbbb2222{REST}", f"bbbb3333{REST}"
JOBS = [
    DETAILS | {"job_id": RUNNING},
    FINISHED | {"job_id": FAILED, "labels": {"git.branch": "topic:1"}},
    FINISHED | {"job_id": PASSED, "name": "lint", "success": True},
]
TABLE = """
[tool.ci.jobs.test]
command = "python -m pytest"
[tool.ci.jobs.lint]
command = ["ruff", "check", "a b"]
"""


@pytest.fixture
def server(server):
    server.on("GET /jobs", reply_json(JOBS))
    return server


@pytest.fixture
def ask(server, project, monkeypatch, capsys):
    """A function that asks as bash does; what is offered."""
    (project / "pyproject.toml").write_text(TABLE)
    monkeypatch.chdir(project)
    monkeypatch.setenv("CI_SERVER_URL", server.url)
    monkeypatch.setenv("HOME", str(project.parent))

    def ask(*words, shell="bash", command=app, program="ci", cword=None):
        monkeypatch.setenv("COMP_WORDS", "\n".join([program, *words]))
        last = words[-1] if shell == "fish" else str(len(words))
        monkeypatch.setenv("COMP_CWORD", last if cword is None else cword)
        variable = f"_{program.upper().replace('-', '_')}_COMPLETE"
        monkeypatch.setenv(variable, f"{shell}_complete")
        code = carry_out(command, program, [])
        told = capsys.readouterr()
        assert (code, told.err) == (0, "")
        return told.out.splitlines()

    return ask


def plain(*values):
    return [f"plain,{value}" for value in values]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["log"], ["logs", "login", "logout"]),
        (["model", "st"], ["status"]),
        (["logs", "--ta"], ["--tail"]),
        (["logs", ""], ["aaaa1111", "bbbb2222", "bbbb3333"]),
        (["logs", "bb"], ["bbbb2222", "bbbb3333"]),
        (["logs", "BBBB2"], ["bbbb2222"]),
        (["logs", "bbbb2222-9"], [FAILED]),
        (["logs", "aaaa1111", "-f", ""], ["bbbb2222", "bbbb3333"]),
        (["artifacts", "bbbb3333", ""], []),
        (["cancel", ""], ["aaaa1111"]),
        (["model", "cancel", ""], ["aaaa1111"]),
        (["status", ""], ["aaaa1111", "bbbb2222", "bbbb3333"]),
        (["list", "--before", "a"], ["aaaa1111"]),
        (["list", "--status", "q"], ["queued"]),
        (["submit", ""], ["test", "lint"]),
        (["submit", "l"], ["lint"]),
        (["submit", "--path", "nowhere", ""], ["test"]),
        (["submit", "--color", "a"], ["auto", "always"]),
        (["completion", ""], ["bash", "zsh", "fish"]),
        (["nothing", "x"], []),
    ],
)
def test_what_is_offered(ask, words, offered):
    assert ask(*words) == (plain(*offered) or [""])


def test_the_job_of_a_model_is_offered(ask, project):
    (project / "model.toml").write_text("")
    assert ask("submit", "") == plain("test", "lint", "engine")


@pytest.mark.parametrize("table", ["[tool.ci.jobs", "[tool.ci]\njobs = 3", "[tool.ci.jobs]\na = 1"])
def test_a_broken_table_says_nothing(ask, project, table):
    (project / "pyproject.toml").write_text(table)
    assert ask("submit", "te") in (plain("test"), [""])


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (["submit", "--path", "x"], "dir"),
        (["submit", "--env-file", "x"], "file"),
        (["submit", "--", "x"], "file"),
        (["submit", "--", "make", "x"], "file"),
        (["model", "package", "x"], "dir"),
    ],
)
def test_paths_are_left_to_the_shell(ask, words, kind):
    assert ask(*words) == [f"{kind},x"]


def test_the_server_of_the_command_line_is_asked(ask, server, monkeypatch):
    monkeypatch.setenv("CI_SERVER_URL", "http://127.0.0.1:9")
    assert ask("logs", "a") == [""]
    assert ask("logs", "--server", server.url, "--api-key", "ci_k", "a") == plain("aaaa1111")
    assert server.requests[-1].headers["authorization"] == "Bearer ci_k"
    colons = server.url.replace(":", "\n:\n").split("\n")  # as bash cuts words
    assert ask("logs", "--server", *colons, "a") == plain("aaaa1111")


def test_an_older_job_is_asked_for_by_its_beginning(ask, server):
    old = f"cccc4444{REST}"
    server.on("GET /jobs/cccc4", reply_json(FINISHED | {"job_id": old}))
    assert ask("logs", "cccc4") == plain("cccc4444")
    assert ask("logs", "dddd5") == [""]


@pytest.mark.parametrize(
    "answer",
    [
        error(401, "unauthenticated", "who are you"),
        error(429, "rate_limited", "slow down", Retry_After="30"),
        error(500, "internal_error", "no"),
        reply_json({"not": "a list"}),
        hang,
    ],
)
def test_a_server_without_an_answer_offers_nothing_and_says_nothing(ask, server, answer):
    server.on("GET /jobs", answer)
    assert ask("logs", "") == [""]


def test_a_broken_configuration_says_nothing(ask, monkeypatch):
    monkeypatch.setenv("CI_SERVER_URL", "not an address")
    assert ask("logs", "") == [""]


def test_nothing_is_offered_that_a_shell_would_run(ask, server, project):
    strange = """
    [tool.ci.jobs."$(touch x)"]
    [tool.ci.jobs."a;b"]
    [tool.ci.jobs.lint]
    command = "\\u001b]0;"
    """
    (project / "pyproject.toml").write_text(strange)
    assert ask("submit", "") == plain("lint")
    assert ask("submit", "", shell="fish") == ["plain,lint\t\\x1b]0;"]
    evil = {"job_id": "$(touch x)", "name": "a"}
    server.on("GET /jobs", reply_json([evil, {}, JOBS[0] | {"name": "\x1b[2J"}]))
    assert ask("logs", "") == plain("aaaa1111")
    (fish,) = ask("logs", "", shell="fish")
    assert "running, \\x1b[2J" in fish


def test_zsh_and_fish_show_what_became_of_a_job(ask):
    zsh = ask("logs", "bb", shell="zsh")
    assert zsh[:2] == ["plain", "bbbb2222"]
    assert zsh[2].startswith("✗ exit code 1, test, topic:1")
    assert zsh[3:5] == ["plain", "bbbb3333"]
    assert zsh[5].startswith("✓ passed, lint")
    (fish,) = ask("logs", "aa", shell="fish")
    assert fish.startswith("plain,aaaa1111\t- running, test")
    assert ask("submit", "li", shell="fish") == ["plain,lint\truff check 'a b'"]


def test_ci_submit_completes_as_well(ask):
    assert ask("l", command=submit, program="ci-submit") == plain("lint")
    assert "--image" in "\n".join(ask("--im", command=submit, program="ci-submit"))


# ------------------------------------------------------------------ real shells


@pytest.fixture
def shell(server, project, tmp_path):
    """A function that runs a shell with `ci` on its path; its output."""
    (project / "pyproject.toml").write_text(TABLE)
    (tmp_path / "bin").mkdir()
    ci = tmp_path / "bin/ci"
    ci.write_text(f'#!/bin/sh\nexec {sys.executable} -m ci_client.cli "$@"\n')
    ci.chmod(ci.stat().st_mode | stat.S_IXUSR)
    environment = {
        **os.environ,
        "PATH": f"{ci.parent}:{os.environ['PATH']}",
        "PYTHONPATH": os.getcwd(),
        "HOME": str(tmp_path),
        "CI_SERVER_URL": server.url,
    }

    def run(*command):
        return subprocess.run(
            command, cwd=project, env=environment, capture_output=True, text=True, timeout=120
        )

    run.environment = environment
    return run


def test_a_real_bash_on_a_terminal(shell, project):
    argv = ["bash", "--noprofile", "--norc", "-i"]
    bash = OnTerminal(argv, project, shell.environment | {"PS1": "ready> "})
    try:
        bash.until_shown(b"ready> ")
        bash.type('eval "$(ci completion bash)" && echo do""ne\r')
        bash.until_shown(b"done\r\n")
        bash.type("ci sub\tli\t-- && ci stat\ta")
        bash.until_shown(b"ci submit lint -- && ci status a")
        press_until_shown(bash, "\t", b"aaaa1111")
        bash.type("\x15exit\r")
        bash.end()
    finally:
        bash.kill()


def press_until_shown(terminal, key, content):
    """On a busy machine an answer may be too late for the first Tab."""
    pressed = 0.0

    def is_shown():
        nonlocal pressed
        if time.monotonic() - pressed > 8:
            pressed = time.monotonic()
            terminal.type(key)
        return content in terminal.shown

    until_sync(is_shown, what=f"{content!r} in {terminal.shown!r}")


OTHERS = {
    "zsh": (
        "compdef() :; compadd() { :; }\n"
        '_describe() { print -rl -- "${completions_with_descriptions[@]}" }\n'
        'eval "$(ci completion zsh)"\nwords=(ci logs bb); CURRENT=3; _ci_completion\n'
    ),
    "fish": "ci completion fish | source; complete -C 'ci logs bb'\n",
}


@pytest.mark.parametrize("name", [name for name in OTHERS if shutil.which(name)])
def test_other_shells_that_are_on_this_machine(shell, name):
    shown = ""

    def are_offered():
        nonlocal shown
        done = shell(name, "-c", OTHERS[name])
        shown = done.stdout + done.stderr
        return "bbbb2222" in shown

    until_sync(are_offered, what="ids of jobs", seconds=60)
    first, second = shown.splitlines()
    assert first.startswith("bbbb2222")
    assert "exit code 1, test, topic:1" in first
    assert second.startswith("bbbb3333")


def test_the_scripts_are_printed(shell):
    for name in ("bash", "zsh", "fish"):
        done = shell("ci", "completion", name)
        assert (done.returncode, done.stderr) == (0, "")
        assert "_CI_COMPLETE" in done.stdout
    done = shell("ci", "completion", "tcsh")
    assert done.returncode == 2
    assert "'tcsh' is not one of 'bash', 'zsh', 'fish'" in done.stderr
