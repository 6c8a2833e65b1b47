"""The server, and the controller in it, is killed at a random point of a job's way."""

import sqlite3
import threading
import time
from contextlib import closing

import httpx
import pytest

from support import seeded_output
from support.accepted_jobs import AcceptedJobs, SeededJob, project, submit_in_thread
from support.waiting import until_sync

pytestmark = pytest.mark.docker


def sleep_until(moment):
    """The random point itself: the one thing here that no condition can tell."""
    time.sleep(max(moment - time.monotonic(), 0))


def kill_and_start(server, dice):
    """kill -9, and a new server after a random pause."""
    server.kill()
    sleep_until(time.monotonic() + dice.uniform(0, 0.5))
    server.start()


@pytest.mark.fault(
    "server killed during uploads",
    "`kill -9` while four uploads arrive slowly",
    "nothing that was not acknowledged became a job",
)
def test_during_uploads(make_server, settled, dice):
    server = make_server().start().ready()
    stop = threading.Event()

    def body():
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="p.zip"\r\n\r\n'
        while not stop.wait(0.002):
            yield b"z" * 4096

    def upload():
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        with httpx.Client(base_url=server.url, timeout=30, trust_env=False) as http:
            try:
                answered.append(http.post("/submit-async", content=body(), headers=headers))
            except httpx.TransportError:
                return

    answered = []
    uploads = [threading.Thread(target=upload, daemon=True) for _ in range(4)]
    for thread in uploads:
        thread.start()
    staging = server.data / "staging"
    server.until(lambda: [*staging.glob("*.part")], lambda found: len(found) == 4, "4 uploads")
    sleep_until(time.monotonic() + dice.uniform(0, 0.5))
    kill_and_start(server, dice)
    stop.set()
    for thread in uploads:
        thread.join(30)
    assert answered == []
    assert server.rows() == 0
    settled(AcceptedJobs(server), server)


@pytest.mark.fault(
    "server killed between commit and response",
    "`kill -9` once the first of ten rows is seen in the database, which is before or just after "
    "its response is sent",
    "jobs whose response was lost end as well",
)
def test_between_row_and_answer(make_server, settled, dice):
    server = make_server().start().ready()
    jobs = [SeededJob(f"{dice.random()}", count=5) for _ in range(10)]
    sent = [(job, *submit_in_thread(server.url, job.project)) for job in jobs]
    wanted = dice.randint(1, 4)
    with closing(sqlite3.connect(server.database, timeout=30)) as connection:

        def rows():
            return connection.execute("SELECT count(*) FROM jobs").fetchone()[0]

        until_sync(rows, lambda count: count >= wanted, "rows")
    server.kill()
    for _, thread, _ in sent:
        thread.join(30)
    server.start()
    accepted = AcceptedJobs(server)
    for job, _, answered in sent:
        for job_id in answered:
            accepted.add(job_id, job.output)
    rows = settled(accepted, server)
    assert {row["status"] for row in rows.values()} <= {"completed"}
    listed = server.http.get("/jobs").json()
    assert {job["status"] for job in listed} == {"completed"}
    assert all(job["success"] for job in listed)


@pytest.mark.fault(
    "server killed while jobs are queued",
    "`kill -9` with one job running and four queued",
    "each ran once, in the order of submission",
)
def test_while_queued(make_server, settled, dice):
    server = make_server(max_concurrent_jobs=1).start().ready()
    accepted = AcceptedJobs(server)
    for _ in range(5):
        accepted.submit(SeededJob(f"{dice.random()}", count=50, seconds=dice.uniform(0, 1)))
    sleep_until(time.monotonic() + dice.uniform(0, 2))
    kill_and_start(server, dice)
    rows = settled(accepted, server)
    starts = [rows[job.job_id]["start_time"] for job in accepted.jobs]
    assert starts == sorted(starts)
    assert {row["attempt"] for row in rows.values()} == {1}


@pytest.mark.fault(
    "server killed while jobs are launched",
    "`kill -9` within 0.3 s of the first claim of four jobs",
    "each ran once",
)
def test_while_launching(make_server, settled, dice):
    server = make_server().start().ready()
    accepted = AcceptedJobs(server)
    for _ in range(4):
        accepted.submit(SeededJob(f"{dice.random()}", count=50, seconds=0.5))
    server.wait_status(accepted.jobs[0].job_id, "initializing", "running", "completed")
    sleep_until(time.monotonic() + dice.uniform(0, 0.3))
    server.kill()
    server.start()
    rows = settled(accepted, server)
    assert {(row["success"], row["attempt"]) for row in rows.values()} == {(True, 1)}, rows


BACKEND = """
import time, zipfile

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    time.sleep(2.5)
    name = "slow-1.0-py3-none-any.whl"
    with zipfile.ZipFile(f"{wheel_directory}/{name}", "w") as wheel:
        wheel.writestr("slow.py", "WORD = 'slow'\\n")
        wheel.writestr("slow-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: slow\\n"
                       "Version: 1.0\\n")
        wheel.writestr("slow-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nGenerator: t\\n"
                       "Root-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("slow-1.0.dist-info/RECORD", "")
    return name
"""
SLOW = {
    "requirements.txt": "./slow\n",
    "slow/pyproject.toml": "[build-system]\nrequires = []\nbuild-backend = 'backend'\n"
    "backend-path = ['.']\n[project]\nname = 'slow'\nversion = '1.0'\n",
    "slow/backend.py": BACKEND,
}
"""A requirement that takes its time to install."""


@pytest.mark.fault(
    "server killed while requirements are installed",
    "`kill -9` while the image with the project's requirements is being built",
    "the job ran with them; there is one cached layer and no installation container",
)
def test_while_the_image_builds(make_server, settled, dice):
    server = make_server().start().ready()
    accepted = AcceptedJobs(server)
    seed = f"{dice.random()}"
    command = ["sh", "-c", f"python -c 'import slow' && python seeded_output.py {seed} --count=9"]
    job = accepted.submit_project(project({"command": command}, SLOW))
    server.wait_status(job.job_id, "initializing")
    sleep_until(time.monotonic() + dice.uniform(0.2, 3.5))
    kill_and_start(server, dice)
    rows = settled(accepted, server, layers=1)
    row = rows[job.job_id]
    assert row["success"] is True, f"{row}\n{server.log(job.job_id)}\n{server.log_tail()}"
    assert server.log(job.job_id).endswith(seeded_output.lines(seed, 9))


@pytest.mark.fault(
    "server killed while jobs run",
    "`kill -9` twice while three jobs write; some end while no server is running",
    "correct exit codes",
)
def test_while_running(make_server, settled, dice):
    server = make_server().start().ready()
    accepted = AcceptedJobs(server)
    for _ in range(3):
        job = SeededJob(f"{dice.random()}", seconds=dice.uniform(2, 12), exit_code=3)
        accepted.submit(job)
    for _ in range(2):
        sleep_until(time.monotonic() + dice.uniform(0.3, 2.5))
        kill_and_start(server, dice)
    rows = settled(accepted, server)
    for row in rows.values():
        assert (row["status"], row["exit_code"], row["attempt"]) == ("completed", 3, 1)


@pytest.mark.fault(
    "server killed while a big log is drained",
    "`kill -9` at a random size of a 48 MB log that is written at full speed",
    "-",
)
def test_while_draining(make_server, settled, dice):
    server = make_server().start().ready()
    accepted = AcceptedJobs(server)
    job = accepted.submit(SeededJob(f"{dice.random()}", count=48_000, width=1000))
    wanted = dice.randint(1, 45_000_000)
    server.until(
        lambda: log_size(server, job.job_id),
        lambda size: size >= wanted,
        "a part of the log",
    )
    kill_and_start(server, dice)
    rows = settled(accepted, server)
    assert rows[job.job_id]["success"] is True


def log_size(server, job_id):
    """Of the log on disk: to ask for the log would take as long as to write it."""
    return sum(path.stat().st_size for path in server.data.glob(f"logs/*/{job_id}.live/*.log"))


@pytest.mark.fault(
    "server killed while artifacts are collected",
    "`kill -9` while 40 artifacts of 1 MB are copied out of the container",
    "every artifact is there once, with its content",
)
def test_while_collecting_artifacts(make_server, settled, dice):
    server = make_server().start().ready()
    accepted = AcceptedJobs(server)
    seeded = SeededJob(f"{dice.random()}", count=5, artifacts=40, artifact_size=1 << 20)
    job = accepted.submit(seeded)
    staging = server.data / "staging" / "artifacts"
    wanted = dice.randint(0, 35)
    server.until(
        lambda: len([*staging.glob("*/*")]) if [*staging.iterdir()] else -1,
        lambda count: count >= wanted or server.job(job.job_id)["end_time"],
        "artifacts on their way",
        60,
    )
    kill_and_start(server, dice)
    rows = settled(accepted, server)
    assert rows[job.job_id]["success"] is True
    found = server.http.get(f"/jobs/{job.job_id}/artifacts").json()
    assert [one["path"] for one in found] == sorted(f"output/{n}.bin" for n in range(40))
    for one in found:
        number = int(one["path"].removeprefix("output/").removesuffix(".bin"))
        content = server.http.get(f"/jobs/{job.job_id}/artifacts/{one['path']}").content
        assert content == seeded_output.artifact(seeded.seed, number, 1 << 20)
