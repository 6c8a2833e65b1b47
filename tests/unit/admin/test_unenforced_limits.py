"""What an engine says it cannot keep, whom that concerns, and who is told."""

import pytest

from ci_admin.examination import notes_of
from ci_common.job import Network, ResourceLimits
from ci_common.ports.unenforced_limits import Limit, Unenforced
from ci_controller.executors.docker.enforcement import unenforced

DOCKER = {
    "MemoryLimit": True,
    "SwapLimit": True,
    "CpuCfsQuota": True,
    "PidsLimit": True,
    "SecurityOptions": ["name=seccomp,profile=default"],
    "Runtimes": {"runc": {"path": "runc"}, "runsc": {"path": "/usr/bin/runsc"}},
}
"""As dockerd 20.10 told it."""

ROOTLESS = {
    **DOCKER,
    "MemoryLimit": False,
    "CpuCfsQuota": False,
    "PidsLimit": False,
    "SecurityOptions": ["name=seccomp,profile=default", "name=rootless"],
}
"""On cgroups v1."""

NO_PIDS = {**DOCKER, "PidsLimit": False, "SecurityOptions": None, "Runtimes": None}

CASES = {
    "docker": (DOCKER, None, False, set()),
    "docker with its runtime": (DOCKER, "runsc", False, set()),
    "docker without that runtime": (DOCKER, "kata", False, {Limit.RUNTIME}),
    "rootless": (ROOTLESS, None, False, {Limit.MEMORY, Limit.CPU, Limit.PIDS}),
    "no cgroup for processes": (NO_PIDS, None, False, {Limit.PIDS}),
    "an engine that does not say": ({}, None, False, set()),
    "podman": (DOCKER, None, True, {Limit.ISOLATION}),
    "podman, told which runtime": (DOCKER, "runsc", True, {Limit.ISOLATION, Limit.RUNTIME}),
}


@pytest.mark.parametrize("case", CASES)
def test_what_an_engine_cannot_keep(case):
    facts, runtime, is_podman, expected = CASES[case]
    found = [*unenforced(facts, runtime, is_podman=is_podman)]
    assert {one.limit for one in found} == expected
    assert all(one.message.startswith(f"{one.limit.value} is not enforced: ") for one in found)


RELIES = {
    Limit.WORK: ResourceLimits(),
    Limit.MEMORY: ResourceLimits(memory_mb=64),
    Limit.CPU: ResourceLimits(cpu_percent=50),
    Limit.PIDS: ResourceLimits(pids=20),
    Limit.BLOCK_IO: ResourceLimits(block_io_bytes=1 << 20),
    Limit.SHM: ResourceLimits(shm_mb=64),
    Limit.NETWORK: ResourceLimits(network=Network.NONE),
}


@pytest.mark.parametrize("limit", Limit)
def test_it_concerns_jobs_that_rely_on_it_and_no_others(limit):
    one = Unenforced(limit, "why")
    if limit in RELIES:
        assert one.concerns(RELIES[limit])
    assert one.concerns(ResourceLimits()) is (limit is Limit.WORK)
    assert not any(
        one.concerns(limits)
        for other, limits in RELIES.items()
        if other is not limit and limit is not Limit.WORK
    )


def test_an_operator_is_told_each_cause_once():
    found = [Unenforced(Limit.MEMORY, "a"), Unenforced(Limit.WORK, "b"), Unenforced(Limit.CPU, "a")]
    assert notes_of(found) == ["not enforced: memory, cpu: a", "not enforced: CI_MAX_WORK_MB: b"]
