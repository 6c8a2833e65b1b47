"""Jobs that do not behave."""

import time

import pytest

from support import seeded_output
from support.accepted_jobs import AcceptedJobs, SeededJob, project, same

pytestmark = pytest.mark.docker

MEGABYTE = 1 << 20

DAEMONS = """
import os, sys, time
import seeded_output

for number in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            while True:
                time.sleep(0.5)
        os._exit(0)
sys.stdout.buffer.write(seeded_output.lines(sys.argv[1], 20))
"""
"""Leaves three daemons behind, which hold its output open."""

DEAF = """
import signal, sys, time
import seeded_output

for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(name, signal.SIG_IGN)
number = 0
while True:
    sys.stdout.buffer.write(seeded_output.line(sys.argv[1], number))
    sys.stdout.buffer.flush()
    number += 1
    time.sleep(0.01)
"""


def one_line(seed):
    """1 MB without an end of line."""
    return seeded_output.artifact(seed, 0, MEGABYTE // 2).hex().encode()


def not_text(seed):
    """Every byte there is, and cut characters."""
    return (
        bytes(range(256)) + "\u2713\U0001f600".encode()[:-1] + seeded_output.artifact(seed, 1, 9999)
    )


ONE_LINE = """
import sys, seeded_output
sys.stdout.write(seeded_output.artifact(sys.argv[1], 0, (1 << 20) // 2).hex())
"""

NOT_TEXT = """
import sys, seeded_output
cut = "\\u2713\\U0001f600".encode()[:-1]
random = seeded_output.artifact(sys.argv[1], 1, 9999)
content = bytes(range(256)) + cut + random
for start in range(0, len(content), 7):
    sys.stdout.buffer.write(content[start : start + 7])
    sys.stdout.buffer.flush()
"""


def scripted(script, seed, **table):
    return project({"command": ["python", "script.py", seed], **table}, {"script.py": script})


@pytest.mark.fault(
    "job forks daemons",
    "the command leaves three daemons (double fork, `setsid`) that hold its output open",
    "the job ends with its command, and the daemons with it",
    repeats=1,
)
def test_daemons(make_server, settled, dice):
    server = make_server().start().ready()
    accepted = AcceptedJobs(server)
    seed = f"{dice.random()}"
    job = accepted.submit_project(scripted(DAEMONS, seed), seeded_output.lines(seed, 20))
    assert settled(accepted, server)[job.job_id]["success"] is True


@pytest.mark.fault(
    "job ignores SIGTERM",
    "a job that ignores every signal it can is cancelled at a random moment, grace 1.5 s",
    "it ended after its grace period, within another 8 s",
)
def test_deaf(make_server, settled, dice):
    server = make_server(cancel_grace_seconds=1.5).start().ready()
    accepted = AcceptedJobs(server)
    seed = f"{dice.random()}"
    job = accepted.submit_project(scripted(DEAF, seed), seeded_output.lines(seed, 5000))
    server.wait_status(job.job_id, "running")
    server.log_has(job.job_id, b"\n")
    time.sleep(dice.uniform(0, 1))  # the random point
    started = time.monotonic()
    assert server.http.delete(f"/jobs/{job.job_id}").status_code == 202
    row = server.finished(job.job_id)
    assert 1 <= time.monotonic() - started < 9.5
    assert (row["status"], row["reason"]) == ("cancelled", "cancelled")
    settled(accepted, server)


@pytest.mark.fault(
    "job writes 1 MB without a newline, and binary output",
    "one line of 1 MB; every byte value, split characters and random bytes in pieces of 7",
    "-",
    repeats=1,
)
def test_odd_output(make_server, settled, dice):
    server = make_server().start().ready()
    accepted = AcceptedJobs(server)
    for script, content in ((ONE_LINE, one_line), (NOT_TEXT, not_text)):
        seed = f"{dice.random()}"
        accepted.submit_project(scripted(script, seed), content(seed))
    rows = settled(accepted, server)
    assert {row["success"] for row in rows.values()} == {True}


@pytest.mark.fault(
    "job writes 200 MB, the cap above it",
    "200 MB at full speed, CI_DEFAULT_LOG_MB=256",
    "every byte is kept",
    repeats=1,
)
def test_big_log(make_server, settled, dice):
    server = make_server(default_log_mb=256).start().ready()
    accepted = AcceptedJobs(server)
    job = accepted.submit(SeededJob(f"{dice.random()}", count=200_000, width=1000))
    row = settled(accepted, server)[job.job_id]
    assert (row["success"], row["log_dropped"]) == (True, 0)
    assert row["log_size"] > 200_000_000


@pytest.mark.fault(
    "job writes 200 MB, the default cap",
    "200 MB at full speed, with the default CI_DEFAULT_LOG_MB of 100",
    "the log is exactly the first 92 MiB, one line that says how much is left out, and the last "
    "8 MiB from the start of a line; reason `log_limit`; success depends on the exit code",
    repeats=1,
)
def test_capped_log(make_server, settled, dice):
    server = make_server().start().ready()
    accepted = AcceptedJobs(server)
    job = accepted.submit(SeededJob(f"{dice.random()}", count=200_000, width=1000))
    output, job.output = job.output, None
    row = settled(accepted, server)[job.job_id]
    assert (row["status"], row["success"], row["reason"]) == ("completed", True, "log_limit")
    head, tail = 92 << 20, 8 << 20
    start = output.index(b"\n", len(output) - tail) + 1
    dropped = start - head
    assert row["log_dropped"] == dropped
    marker = f"\n[... {dropped} bytes left out: the log is larger than its limit ...]\n".encode()
    same(server.log(job.job_id), output[:head] + marker + output[start:], "the stored log")
