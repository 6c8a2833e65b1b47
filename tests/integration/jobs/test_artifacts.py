"""What jobs leave behind, through the whole system: container, store, row, API, command line."""

import hashlib
import json
import subprocess
import sys

import pytest

from support.archives import zip_bytes
from support.events import stream
from support.projects import ANY, PASSING, WAITING, python, shell, table
from support.waiting import until_sync

pytestmark = pytest.mark.docker

TESTS = zip_bytes(
    {
        "tests/test_it.py": (
            "import time\n"
            "def test_good(): pass\n"
            "def test_slow(): time.sleep(0.2)\n"
            "def test_bad(): assert 1 == 2, 'not \\x1b[31mequal'\n"
        )
    }
)


def artifacts(server, job_id):
    answer = server.http.get(f"/jobs/{job_id}/artifacts")
    assert answer.status_code == 200, answer.text
    return answer.json()


def download(server, job_id, path, **headers):
    return server.http.get(f"/jobs/{job_id}/artifacts/{path}", headers=headers)


def ci(server, *arguments, **options):
    """A client's command, to its end."""
    return subprocess.run(
        [sys.executable, "-m", "ci_client.cli", *arguments, "--server", server.url],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=server.environment,
        **options,
    )


def test_times_go_along(server, tmp_path):
    script = (
        "mkdir -p output; touch -d 2020-03-01T12:00:00Z output/old; echo x >output/new; "
        "touch -d 2400-01-01 output/late; touch -d 1960-01-01 output/early"
    )
    job, _ = server.run(ANY, shell(script))
    told = {one["path"]: one["modified"] for one in artifacts(server, job["job_id"])}
    assert told["output/old"] == "2020-03-01T12:00:00.000Z"
    assert told["output/early"] == "1970-01-01T00:00:00.000Z"
    # Files have whole seconds.
    assert job["submit_time"][:19] <= told["output/new"][:19] <= told["output/late"][:19]
    answer = download(server, job["job_id"], "output/old")
    assert answer.headers["Last-Modified"] == "Sun, 01 Mar 2020 12:00:00 GMT"
    done = ci(server, "artifacts", job["job_id"], "--download", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "output/old").stat().st_mtime == 1_583_064_000
    assert (tmp_path / "output/early").stat().st_mtime == 0


COVERAGE = """
import sys
open("coverage.xml", "w").write('<coverage line-rate="1" lines-valid="8" lines-covered="7"/>')
open("lcov.info", "w").write("\\n".join(["SF:a.js", "DA:1,1", "DA:2,0", "end_of_record"]))
"""


def test_coverage_is_summed_up(server, tmp_path):
    (tmp_path / "cover.py").write_text(COVERAGE)
    (tmp_path / "ci.toml").write_text('[jobs.test]\ncommand = "python cover.py"\n')
    done = ci(server, "submit", "--path", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "\nCoverage 80.0 % of 10 lines\n" in done.stderr
    (job,) = server.http.get("/jobs", params={"limit": 1}).json()
    kept = [one["path"] for one in artifacts(server, job["job_id"])]
    assert kept == ["coverage.xml", "lcov.info"]
    assert job["coverage"] == {
        "lines_covered": 8,
        "lines_total": 10,
        "branches_covered": 0,
        "branches_total": 0,
        "rate": 0.8,
    }
    *_, complete = stream(server.http, job["job_id"])
    assert complete.data["coverage"] == job["coverage"]
    done = ci(server, "status", job["job_id"])
    assert "Coverage:   80.0 % of 10 lines" in done.stdout


@pytest.fixture(scope="module")
def tested(server):
    """A job whose tests did not all pass."""
    job, _ = server.run(TESTS)
    return job


def test_tests_are_summed_up(server, tested):
    tests = tested["tests"]
    assert (tests["total"], tests["passed"], tests["failed"]) == (3, 2, 1)
    assert [(case["name"], case["message"]) for case in tests["failures"]] == [
        ("tests/test_it.py::test_bad", "AssertionError: not equal\nassert 1 == 2")
    ]
    assert tests["slowest"][0]["name"] == "tests/test_it.py::test_slow"
    assert stream(server.http, tested["job_id"])[-1].data["tests"] == tests
    (report,) = artifacts(server, tested["job_id"])
    assert report["path"] == "output/junit.xml"
    assert tested["artifacts_size"] == report["size"]


def test_a_list_of_jobs_has_only_totals(server, tested):
    listed = {job["job_id"]: job for job in server.http.get("/jobs").json()}
    tests = listed[tested["job_id"]]["tests"]
    assert (tests["total"], tests["failures"], tests["slowest"]) == (3, [], [])


def test_the_commands_tell_of_tests(server, tested, tmp_path):
    waited = ci(server, "wait", tested["job_id"])
    assert waited.returncode == 1
    assert "2 passed, 1 failed\n  ✗ tests/test_it.py::test_bad\n" in waited.stderr
    status = ci(server, "status", tested["job_id"]).stdout
    assert "Tests:      2 passed, 1 failed" in status
    assert "AssertionError: not equal\n" in status
    listed = ci(server, "artifacts", tested["job_id"]).stdout
    assert "output/junit.xml" in listed


FILES = python(
    "import pathlib as p\n"
    "o = p.Path('output/d'); o.mkdir(parents=True)\n"
    "(o / 'a b?#%.bin').write_bytes(bytes(range(256)) * 4096)\n"
    "(o / 'empty').touch()\n"
    "(o.parent / 'link').symlink_to('/etc/passwd')\n"
    "p.Path('elsewhere').write_text('not asked for')\n"
)
CONTENT = bytes(range(256)) * 4096


@pytest.fixture(scope="module")
def job_id(server):
    """A job that left files."""
    job, _ = server.run(ANY, FILES)
    assert job["message"] == "exited with code 0"
    assert job["tests"] is None
    return job["job_id"]


def test_list(server, job_id):
    listed = artifacts(server, job_id)
    assert all(one.pop("modified") > "2020" for one in listed)
    assert listed == [
        {"path": path, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for path, content in (("output/d/a b?#%.bin", CONTENT), ("output/d/empty", b""))
    ]


def test_download(server, job_id):
    answer = download(server, job_id, "output/d/a%20b%3F%23%25.bin")
    digest = hashlib.sha256(CONTENT).hexdigest()
    assert (answer.status_code, answer.content) == (200, CONTENT)
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-length"] == str(len(CONTENT))
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["etag"] == f'"{digest}"'
    assert answer.headers["content-disposition"] == (
        "attachment; filename=\"a b___.bin\"; filename*=UTF-8''a%20b%3F%23%25.bin"
    )
    assert download(server, job_id, "output/d/empty").content == b""


@pytest.mark.parametrize(
    ("wanted", "status", "content", "content_range"),
    [
        ("bytes=0-9", 206, CONTENT[:10], "bytes 0-9/1048576"),
        ("bytes=1048570-", 206, CONTENT[-6:], "bytes 1048570-1048575/1048576"),
        ("bytes=-5", 206, CONTENT[-5:], "bytes 1048571-1048575/1048576"),
        ("bytes=300000-700000", 206, CONTENT[300000:700001], "bytes 300000-700000/1048576"),
        ("bytes=1048576-", 416, None, "bytes */1048576"),
        ("bytes=0-1,5-6", 200, CONTENT, None),
        ("lines=1-2", 200, CONTENT, None),
    ],
)
def test_ranges(server, job_id, wanted, status, content, content_range):
    answer = download(server, job_id, "output/d/a%20b%3F%23%25.bin", Range=wanted)
    assert answer.status_code == status
    assert answer.headers.get("content-range") == content_range
    if content is not None:
        assert answer.content == content


def test_conditional_requests(server, job_id):
    path, tag = "output/d/a%20b%3F%23%25.bin", f'"{hashlib.sha256(CONTENT).hexdigest()}"'
    assert download(server, job_id, path, **{"If-None-Match": tag}).status_code == 304
    assert download(server, job_id, path, **{"If-None-Match": '"x"'}).status_code == 200
    ranged = {"Range": "bytes=0-0"}
    assert download(server, job_id, path, **ranged, **{"If-Range": tag}).status_code == 206
    assert download(server, job_id, path, **ranged, **{"If-Range": '"x"'}).status_code == 200


@pytest.mark.parametrize(
    "path", ["nothing", "output", "output/d", "output/link", "..%2F..%2Fci.db", "", "output/d/%00"]
)
def test_what_is_no_artifact(server, job_id, path):
    answer = download(server, job_id, path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "artifact_not_found")


def test_unknown_jobs(server):
    for path in ("", "/output/junit.xml"):
        answer = server.http.get(f"/jobs/11111111-0000-4000-8000-000000000000/artifacts{path}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "job_not_found")


def test_the_download_command(server, job_id, tmp_path):
    done = ci(server, "artifacts", job_id, "--download", "got", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "got/output/d/a b?#%.bin\ngot/output/d/empty\n")
    assert (tmp_path / "got/output/d/a b?#%.bin").read_bytes() == CONTENT
    assert json.loads(ci(server, "artifacts", job_id, "--json").stdout) == artifacts(server, job_id)


def test_the_table_of_jobs_chooses(server):
    project = table(
        '[tool.ci.jobs.test]\ncommand = "mkdir -p a/b && touch a/b/x.whl a/y.txt top.txt a/x.whl"\n'
        'artifacts = ["a/**/*.whl", "/workspace/top.txt"]\n'
    )
    job, log = server.run(project)
    assert job["exit_code"] == 0, log
    assert [a["path"] for a in artifacts(server, job["job_id"])] == [
        "a/b/x.whl",
        "a/x.whl",
        "top.txt",
    ]


def test_a_glob_that_leads_out_is_refused(server):
    project = table('[tool.ci.jobs.test]\nartifacts = ["../x"]\n')
    answer = server.http.post("/submit-async", **server.form(project))
    assert answer.status_code == 400
    assert "'../x' is not a path or pattern within the project" in answer.text


def test_also_of_a_job_that_was_stopped(server):
    job_id = server.submit(ANY, shell("mkdir output; echo half > output/half; echo x; sleep 999"))
    server.log_has(job_id, b"x")
    server.http.post(f"/jobs/{job_id}/cancel")
    assert server.finished(job_id)["status"] == "cancelled"
    assert [a["path"] for a in artifacts(server, job_id)] == ["output/half"]


def test_none_before_the_end(server):
    job_id = server.submit(ANY, WAITING)
    server.log_has(job_id, b"waiting")
    assert artifacts(server, job_id) == []
    server.http.post(f"/jobs/{job_id}/cancel")
    server.finished(job_id)


def test_limits(own_server):
    server = own_server(max_artifacts_mb=1, max_artifacts=2)
    with server.start().ready():
        many = "mkdir output; cd output; head -c 2000000 /dev/zero > a; touch b c d"
        job, _ = server.run(ANY, shell(many))
        assert (job["success"], job["message"]) == (
            True,
            "exited with code 0; artifacts left out: 1 beyond the limit of 1 MiB, "
            "1 beyond the limit of 2 files",
        )
        assert [a["path"] for a in artifacts(server, job["job_id"])] == ["output/b", "output/c"]


def test_pytest_runs_as_without_a_report(server):
    """The request for a report changes neither the result nor, but for one line, the log."""
    job, log = server.run(PASSING)
    assert job["success"]
    assert b"generated xml file: /workspace/output/junit.xml" in log
    job, log = server.run(PASSING, ["env", "-u", "PYTEST_ADDOPTS", "python", "-m", "pytest"])
    assert job["success"]
    assert job["tests"] is None
    assert artifacts(server, job["job_id"]) == []


def test_killed_while_collecting(own_server):
    """The next server collects again; nothing half-done stays."""
    server = own_server()
    server.start().ready()
    # Long enough to be hit, on any disk: 300 MB.
    big = shell("mkdir output; cd output; head -c 300000000 /dev/urandom > big; sha256sum < big")
    job_id = server.submit(ANY, big)
    staging = server.data / "staging/artifacts"
    until_sync(lambda: staging.is_dir() and list(staging.iterdir()), what="a collection")
    server.kill()
    left = list(staging.iterdir())
    server.start().ready()
    job = server.finished(job_id)
    assert (job["status"], job["success"]) == ("completed", True), job
    (artifact,) = artifacts(server, job_id)
    assert artifact["sha256"].encode() == server.log(job_id).split()[0]
    assert list(staging.iterdir()) == []
    assert left, "the kill came too late to hit a collection"
