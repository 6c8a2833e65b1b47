"""What every job finds in its environment."""

import os
import subprocess
import sys

import pytest

from ci_common.ports.launch_request import LaunchRequest
from ci_common.secret import Secret
from ci_controller.executors.shared.job_environment import job_environment

JOB_ID = "0b5d6f3e-9d0a-4c39-8f0e-3f1d2c4b5a69"


def environment(project="/workspace", secrets=(), tty=False, color=False, **env):
    request = LaunchRequest(JOB_ID, 1, 1, ("true",), env, secrets=secrets, tty=tty, color=color)
    return job_environment(request, project, "/run/secrets")


def test_what_is_always_there():
    assert environment() == {
        "CI": "true",
        "CI_JOB_ID": JOB_ID,
        "PYTHONUNBUFFERED": "1",
        "PYTEST_ADDOPTS": "--junitxml=/workspace/output/junit.xml -o junit_family=xunit1",
    }


def about_colors(**given):
    names = ("TERM", "FORCE_COLOR", "CLICOLOR_FORCE", "NO_COLOR", "CLICOLOR")
    return {name: value for name, value in environment(**given).items() if name in names}


def test_a_terminal_has_a_name_unless_the_job_says_another():
    assert about_colors(tty=True) == {"TERM": "xterm-256color"}
    assert about_colors(tty=True, TERM="dumb") == {"TERM": "dumb"}


def test_colours_where_they_are_wanted():
    every = {"TERM": "xterm-256color", "FORCE_COLOR": "1", "CLICOLOR_FORCE": "1"}
    assert about_colors(color=True) == about_colors(color=True, tty=True) == every
    assert about_colors(color=True, TERM="vt100") == every | {"TERM": "vt100"}


@pytest.mark.parametrize("name", ["NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "CLICOLOR"])
@pytest.mark.parametrize("value", ["", "0", "1"])
def test_a_job_that_speaks_of_colours_is_left_alone(name, value):
    assert about_colors(color=True, **{name: value}) == {name: value}


def test_only_jobs_with_secrets_are_told_where_they_are():
    assert environment(secrets=(Secret("A", b"b"),))["CI_SECRETS_DIR"] == "/run/secrets"


def test_the_job_has_the_last_word():
    env = environment(CI="no", A="b", PYTEST_ADDOPTS="-x --maxfail=2")
    assert (env["CI"], env["A"]) == ("no", "b")
    assert env["PYTEST_ADDOPTS"].endswith("/junit.xml -o junit_family=xunit1 -x --maxfail=2")


@pytest.mark.parametrize("own", ["-p no:junitxml", "--junitxml=mine.xml", "--junit-xml mine.xml"])
def test_a_job_that_speaks_of_reports_is_left_alone(own):
    assert environment(PYTEST_ADDOPTS=own)["PYTEST_ADDOPTS"] == own


@pytest.mark.parametrize(
    ("own", "arguments", "report"),
    [
        ("", [], "out put/output/junit.xml"),
        ("", ["--junitxml=mine.xml"], "out put/sub/mine.xml"),
        ("-p no:junitxml", [], None),
    ],
)
def test_pytest_understands(tmp_path, own, arguments, report):
    """Also from a subdirectory, with a space on the way, and with warnings made errors."""
    project = tmp_path / "out put"
    (project / "sub").mkdir(parents=True)
    (project / "sub/test_it.py").write_text(
        "def test(record_property): record_property('a', 'b')\n"
    )
    env = {**os.environ, **environment(str(project), PYTEST_ADDOPTS=own)}
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"]
    done = subprocess.run([*command, *arguments], cwd=project / "sub", env=env, check=False)
    assert done.returncode == 0
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.xml")] == (
        [report] if report else []
    )
