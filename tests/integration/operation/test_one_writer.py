"""Several processes on one database: one of them writes at a time."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import httpx

from support import projects
from support.administration import succeed
from support.sqlite_lock_spy import SqliteLockSpy

QUICK = ["sh", "-c", "echo done"]
WORKERS = 4


def submit(server, number):
    answer = httpx.post(
        f"{server.url}/submit-async",
        timeout=60,
        trust_env=False,
        **server.form(projects.ANY, QUICK),
    )
    assert answer.status_code == 200, f"{number}: {answer.text}"
    return answer.json()["job_id"]


def test_workers_a_controller_and_commands(own_server, tmp_path):
    """Every lock that SQLite takes to write or to checkpoint is taken under ours, whoever writes:
    workers, one of which is killed, a controller of its own, and an administrator's commands.
    """
    server = own_server(executor="process")
    spy = SqliteLockSpy(server.database, tmp_path)
    server.environment |= spy.environment
    server.start("--workers", str(WORKERS))
    server.spawn_controller()
    with ThreadPoolExecutor(8) as pool:
        submitted = [pool.submit(submit, server, number) for number in range(24)]
        others = [
            pool.submit(succeed, server, "backup", tmp_path / "backup.tar"),
            pool.submit(succeed, server, "doctor"),
        ]
        job_ids = [each.result() for each in submitted]
        for each in others:
            each.result()
    for job_id in job_ids:
        server.wait_status(job_id, "completed", "failed")  # as root, processes need a Python
    writers = spy.processes()
    os.kill(max(writers & _children(server.process.pid)), signal.SIGKILL)
    server.ready()
    server.terminate()
    assert len(writers) > WORKERS
    assert {kind for _, kind, _ in spy.notes()} >= {"write", "checkpoint"}
    assert not spy.outside()
    assert "WAL-reset" not in server.log_tail(1000)


def _children(process):
    with open(f"/proc/{process}/task/{process}/children") as file:
        return {int(child) for child in file.read().split()}
