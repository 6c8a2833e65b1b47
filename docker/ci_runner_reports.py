"""A pytest plugin in the runner image: each pytest process of a job writes a report of its own.

The runner asks for a report by PYTEST_ADDOPTS, which names one file. A second pytest in the same
job would overwrite the first one's, and its failures would vanish from the summary.
"""

import os
import shlex
from pathlib import Path

import pytest

_RUNNING = "CI_RUNNER_PYTEST"
"""Set while a pytest runs. One within it, as in tests of a plugin, is no run of the job."""

_MOST = 1000


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    """Take the next free name, before pytest's own plugin looks at it."""
    asked = _asked()
    if asked is None or getattr(config.option, "xmlpath", None) != asked:
        return  # the project has its own mind about reports
    if hasattr(config, "workerinput"):
        return  # a worker of pytest-xdist, which writes none
    if _RUNNING in os.environ:
        config.option.xmlpath = None
        return
    os.environ[_RUNNING] = str(os.getpid())
    config.option.xmlpath = config._ci_runner_report = _reserved(Path(asked))


def pytest_unconfigure(config):
    """Leave no empty file where no report was written."""
    report = getattr(config, "_ci_runner_report", None)
    if report is None:
        return
    os.environ.pop(_RUNNING, None)
    try:
        if os.path.getsize(report) == 0:
            os.remove(report)
    except OSError:
        pass


def _asked():
    """The file that the runner asked for, as it begins PYTEST_ADDOPTS; `None` when it did not."""
    try:
        first, *_ = shlex.split(os.environ.get("PYTEST_ADDOPTS", ""))
    except ValueError:  # nothing, or no words
        return None
    option, _, path = first.partition("=")
    return path if option == "--junitxml" and path.startswith("/") else None


def _reserved(first):
    """The first name that no other process has, made as an empty file: others may start now."""
    for number in range(1, _MOST):
        path = first if number == 1 else first.with_name(f"{first.stem}-{number}{first.suffix}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "xb"):
                return str(path)
        except FileExistsError:
            continue
        except OSError:
            break  # pytest says itself that it cannot write there
    return str(first)
