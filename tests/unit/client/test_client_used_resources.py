"""`ci status` tells what CPU and memory a job used, if the server does."""

import json

import pytest
from client_scripted_server import FINISHED, JOB, reply_json

from ci_client.command.job_card import job_card
from ci_client.command.used_resources import resource_lines

USED = {"cpu_seconds": 83.25, "peak": {"cpu_cores": 1.846, "memory_bytes": 300 << 20}}
LIMITS = {"limits": {"cpu_percent": 150, "memory_mb": 512}}
UNLIMITED = {"limits": {"cpu_percent": None, "memory_mb": None}}


def test_peaks_are_shown_in_a_pipe_and_as_json(server, run):
    job = {**FINISHED, "resources": USED, "settings": LIMITS}
    server.on(f"GET /jobs/{JOB}", reply_json(job))
    code, out, _ = run("status", JOB)
    assert code == 0
    out = out.decode()
    assert "CPU:        peak 1.85 cores, limit 1.5; about 1 min 23 s of CPU time\n" in out
    assert "Memory:     peak 300 MiB, limit 512 MiB\n" in out
    assert json.loads(run("status", JOB, "--json")[1]) == job
    assert len(server.requests) == 2, "one for each command"


@pytest.mark.parametrize("settings", [{}, {"settings": UNLIMITED}, {"settings": None}])
def test_limits_that_there_are_not_are_not_shown(settings):
    job = {"resources": {"peak": {"cpu_cores": 0.0, "memory_bytes": 1023}}, **settings}
    assert list(resource_lines(job)) == ["CPU:        peak 0.00 cores", "Memory:     peak 1023 B"]


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"resources": None},
        {"resources": []},
        {"resources": {"peak": None}},
        {"resources": {"cpu_seconds": 1.0, "peak": {}}},
        {"resources": {"peak": {"cpu_cores": "much", "memory_bytes": True}}},
        {"resources": {"peak": {"cpu_cores": float("nan"), "memory_bytes": float("inf")}}},
        {"resources": {"peak": {"cpu_cores": -1, "memory_bytes": 10**400}}},
    ],
)
def test_what_is_not_known_is_not_shown(told):
    """Without samples, from an older server, and from one that says something else."""
    assert list(resource_lines(told)) == []
    assert job_card({**FINISHED, **told, "settings": LIMITS}) == job_card(FINISHED)
