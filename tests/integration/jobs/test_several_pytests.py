"""Several pytest processes in one job: each has a report, and the summary adds them up."""

import pytest

from support import projects
from support.archives import zip_bytes

pytestmark = pytest.mark.docker

GOOD, BAD = "def test_ok(): pass\n", "def test_bad(): assert 0\n"
NESTED = """
import subprocess, sys

def test_a_pytest_within():
    # As plugins are tested, whose own tests may well fail.
    assert subprocess.run([sys.executable, "-m", "pytest", "-q", "inner"]).returncode == 1
"""


def run(server, script, **files):
    project = zip_bytes({name.replace("__", "/"): content for name, content in files.items()})
    job, log = server.run(project, projects.shell(script))
    assert job["tests"], log.decode()
    tests = job["tests"]
    return tests["passed"], tests["failed"], [case["name"] for case in tests["failures"]], job


def artifacts(server, job):
    found = server.http.get(f"/jobs/{job['job_id']}/artifacts").json()
    return [artifact["path"] for artifact in found]


@pytest.mark.parametrize(
    "script",
    [
        "python -m pytest -q unit; python -m pytest -q integ",
        "pytest -q unit & pytest -q integ & wait",
        "cd unit && pytest -q; cd ../integ && python -m pytest -q",
    ],
    ids=["one_after_the_other", "at_once", "elsewhere"],
)
def test_each_has_a_report(server, script):
    files = {"unit__test_u.py": BAD, "integ__test_i.py": GOOD}
    passed, failed, names, job = run(server, script, **files)
    assert (passed, failed) == (1, 1)
    assert names[0].endswith("test_u.py::test_bad")
    assert artifacts(server, job) == ["output/junit-2.xml", "output/junit.xml"]


def test_a_pytest_within_a_test_is_no_run_of_the_job(server):
    files = {"test_o.py": NESTED, "inner__test_i.py": BAD}
    passed, failed, _, job = run(server, "pytest -q test_o.py", **files)
    assert (passed, failed) == (1, 0)
    assert artifacts(server, job) == ["output/junit.xml"]


def test_what_writes_no_report_leaves_none(server):
    script = "pytest -q --collect-only test_u.py; pytest -q nowhere; pytest -q test_i.py"
    passed, failed, _, job = run(server, script, **{"test_u.py": BAD, "test_i.py": GOOD})
    assert (passed, failed) == (1, 0)
    assert len(artifacts(server, job)) <= 3


def test_the_projects_own_mind_about_reports_counts(server):
    script = "pytest -q --junitxml=output/mine.xml test_i.py; pytest -q -p no:junitxml test_i.py"
    passed, failed, _, job = run(server, script, **{"test_i.py": GOOD})
    assert (passed, failed) == (1, 0)
    assert artifacts(server, job) == ["output/mine.xml"]


def test_reports_of_a_job_that_keeps_other_artifacts(server):
    table = '[tool.ci.jobs.test]\nartifacts = ["dist/*"]\n'
    files = {"pyproject.toml": table, "test_u.py": BAD, "test_i.py": GOOD}
    script = "mkdir dist; touch dist/a output/b; pytest -q test_u.py; pytest -q test_i.py"
    passed, failed, _, job = run(server, f"mkdir output; {script}; pytest -q test_i.py", **files)
    assert (passed, failed) == (2, 1)
    reports = [f"output/junit{number}.xml" for number in ("-2", "-3", "")]
    assert artifacts(server, job) == ["dist/a", *reports]
