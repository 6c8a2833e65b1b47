"""How much a job may ask for."""

from dataclasses import replace

import pytest

from ci_common.errors import InvalidConfigError
from ci_common.job import ResourceLimits
from ci_server.submission.job_limits import DefaultLimits, LimitCeilings
from ci_server.submission.request import SubmissionRequest, resolve_spec

CEILINGS = LimitCeilings(timeout_seconds=600, cpu_percent=200, memory_mb=1024, pids=100)
MOST = ResourceLimits(timeout_seconds=600, cpu_percent=200, memory_mb=1024, shm_mb=1024, pids=100)


def test_what_is_allowed_is_allowed():
    CEILINGS.check(MOST)
    CEILINGS.check(ResourceLimits(timeout_seconds=1, cpu_percent=1, memory_mb=16, shm_mb=1, pids=1))


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"timeout_seconds": 601}, r"timeout of 601 s; .* at most 600 \(CI_MAX_TIMEOUT_SECONDS\)"),
        ({"cpu_percent": 201}, r"cpu of 201 percent; .* at most 200 \(CI_MAX_CPU_PERCENT\)"),
        ({"memory_mb": 1025}, r"memory of 1025 MiB; .* at most 1024 \(CI_MAX_MEMORY_MB\)"),
        ({"shm_mb": 1025}, r"shm of 1025 MiB; .* at most 1024 \(CI_MAX_MEMORY_MB\)"),
        ({"pids": 101}, r"pids of 101 processes; .* at most 100 \(CI_MAX_PIDS\)"),
    ],
)
def test_more_is_refused_with_the_setting_that_says_so(asked, told):
    with pytest.raises(InvalidConfigError, match=told):
        CEILINGS.check(replace(MOST, **asked))


@pytest.mark.parametrize("ceiling", [0, 5, 9])
def test_a_priority_above_the_ceiling_is_refused_and_told(ceiling):
    ceilings = LimitCeilings(priority=ceiling)
    ceilings.check_priority(ceiling)
    told = rf"priority of {ceiling + 1}; .* at most {ceiling} \(CI_MAX_PRIORITY\)"
    with pytest.raises(InvalidConfigError, match=told):
        ceilings.check_priority(ceiling + 1)


def test_without_ceilings_everything_is_allowed():
    LimitCeilings().check(ResourceLimits(timeout_seconds=1e9, memory_mb=1 << 30))
    LimitCeilings().check_priority(10)


def test_a_job_that_asks_for_nothing_gets_no_more_than_one_that_does():
    defaults = DefaultLimits(
        timeout_seconds=3600, cpu_percent=None, memory_mb=512, pids=4096, log_mb=1, grace_seconds=1
    )
    held = CEILINGS.at_most(defaults)
    assert held == replace(defaults, timeout_seconds=600, cpu_percent=200, pids=100)
    assert LimitCeilings().at_most(defaults) == defaults


def test_a_table_of_jobs_is_held_to_them():
    files = {"ci.toml": b"[jobs.test]\nmemory = 2048\n"}
    defaults = DefaultLimits(60, None, None, 100, 1, 1)
    with pytest.raises(InvalidConfigError, match="memory of 2048 MiB"):
        resolve_spec(files, SubmissionRequest(), defaults, CEILINGS)
    limits = resolve_spec({}, SubmissionRequest(), defaults, CEILINGS).limits
    assert (limits.memory_mb, limits.cpu_percent) == (1024, 200)
