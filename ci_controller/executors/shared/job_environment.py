"""The environment of every job, in whichever executor it runs."""

import shlex

from ci_common.ports.launch_request import LaunchRequest
from ci_common.secret import SECRETS_DIRECTORY_VARIABLE

REPORT = "output/junit.xml"
"""Where pytest is asked to write its report, relative to the project."""

MORE_REPORTS = "output/junit-[0-9]*.xml"
"""Those of further pytest processes of the job, where the image has `ci_runner_reports`."""


def further_report(number: int) -> str:
    """The report of the second, third, … pytest process."""
    return f"output/junit-{number}.xml"


_PYTEST = "PYTEST_ADDOPTS"

_COLORS = {"FORCE_COLOR": "1", "CLICOLOR_FORCE": "1"}
_ABOUT_COLORS = frozenset({*_COLORS, "NO_COLOR", "CLICOLOR"})
"""A job that says any of these knows what it wants."""

_TERM = "xterm-256color"
"""The terminal that most programs, and most images, know."""


def job_environment(request: LaunchRequest, project: str, secrets: str) -> dict[str, str]:
    """The variables of a job whose project lies at `project`, and whose secrets, if it has any,
    in the directory `secrets`; those that it sets itself come last.
    """
    env = request.env
    return {
        "CI": "true",
        "CI_JOB_ID": request.job_id,
        "PYTHONUNBUFFERED": "1",
        **_terminal(request),
        **({SECRETS_DIRECTORY_VARIABLE: secrets} if request.secrets else {}),
        **env,
        _PYTEST: _pytest_options(env.get(_PYTEST, ""), project),
    }


def _terminal(request: LaunchRequest) -> dict[str, str]:
    """What kind of terminal there is, if any, and whether to write colours without one. Some
    programs do not, even then, unless they know the terminal.
    """
    has_colors = request.color and not _ABOUT_COLORS & request.env.keys()
    return {
        **({"TERM": _TERM} if request.tty or has_colors else {}),
        **(_COLORS if has_colors else {}),
    }


def _pytest_options(own: str, project: str) -> str:
    """The request for a report, before what the job itself asks for, which so has precedence.

    A job that speaks of reports in any way (`-p no:junitxml` to have none) is left alone.
    """
    if "junit" in own:
        return own
    # An absolute path, so that it does not matter where pytest is started. The older family
    # names each test's file, and has no warnings for fixtures that the newer one does not like,
    # which a project may have made errors.
    report = shlex.quote(f"{project}/{REPORT}")
    return f"--junitxml={report} -o junit_family=xunit1 {own}".rstrip()
