"""What is asked for of one job: its use of CPU and memory, coverage by file, tests, settings."""

import pytest

from support.live_server import LiveServer
from support.projects import ANY, python, table
from support.waiting import until_sync

WORK = """
import pathlib, time
held = bytearray(80 << 20)
held[::4096] = b"x" * len(held[::4096])
end = time.monotonic() + 7
while time.monotonic() < end: pass
print(time.process_time())
pathlib.Path("output").mkdir(exist_ok=True)
pathlib.Path("output/junit.xml").write_text(
    "<testsuite><testcase name='t' classname='tests.test_a'><failure message='assert 0'>"
    "E   assert 0\\n\\ntests/test_a.py:12: AssertionError</failure></testcase></testsuite>")
pathlib.Path("coverage.xml").write_text(
    "<coverage line-rate='0.5'><packages><package><classes><class filename='src/a.py'><lines>"
    "<line number='1' hits='1'/><line number='2' hits='0'/></lines></class></classes></package>"
    "</packages></coverage>")
"""


PROJECT = table('[tool.ci.jobs.test]\nenv = { MODE = "secret value" }\n')


def details(server, job_id, what):
    answer = server.http.get(f"{server.url}/jobs/{job_id}/{what}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def check_details(server):
    job_id = server.submit(PROJECT, python(WORK))
    live = until_sync(
        lambda: details(server, job_id, "resources"), lambda told: told["points"], "a point", 60
    )
    assert server.job(job_id)["status"] == "running"
    job = server.finished(job_id)
    used = details(server, job_id, "resources")
    assert used["points"][: len(live["points"])] == live["points"]
    assert len(used["points"]) >= 2
    assert used["interval_seconds"] == 2.0
    assert 80 << 20 <= used["peak"]["memory_bytes"] < 400 << 20
    assert job["resources"] == {name: used[name] for name in ("cpu_seconds", "peak")}
    ends = [0.0, *(point["seconds"] for point in used["points"])]
    cores = [point["cpu_cores"] for point in used["points"]]
    spent = sum(one * (end - begin) for one, begin, end in zip(cores, ends, ends[1:], strict=False))
    whole = float(server.log(job_id).split()[-1])  # however busy the machine is
    assert 0.3 * whole < spent < whole + 1
    assert used["cpu_seconds"] == pytest.approx(spent, abs=0.1)
    (failure,) = job["tests"]["failures"]
    assert (failure["file"], failure["line"]) == ("tests/test_a.py", 12)
    coverage = details(server, job_id, "coverage")
    assert coverage["files"] == [
        {
            "path": "src/a.py",
            "lines_covered": 1,
            "lines_total": 2,
            "branches_covered": 0,
            "branches_total": 0,
            "rate": 0.5,
        }
    ]
    assert (coverage["files_total"], coverage["rate"]) == (1, 0.5)
    settings = server.job(job_id)["settings"]
    assert (settings["env"], settings["command"]) == (["MODE"], job["command"])
    assert "secret value" not in str(server.job(job_id))
    assert settings["limits"]["timeout_seconds"] == job["timeout"]
    return settings


def test_of_a_process(tmp_path, python_for_jobs):
    with LiveServer(tmp_path, python=python_for_jobs, executor="process") as server:
        server.start().ready()
        assert check_details(server)["image"] is None
        job_id = server.submit(ANY, python("pass"))
        server.finished(job_id)
        assert details(server, job_id, "resources")["points"] == []
        assert server.job(job_id)["resources"] is None
        assert details(server, job_id, "coverage")["rate"] is None


@pytest.mark.docker
def test_of_a_container(server):
    assert check_details(server)["image"]
