"""What does not hold on an engine, and why: docs/engines.md says the same to operators.

The tests are expected to fail there, so that a gap that closes is noticed.
"""

from typing import NamedTuple


class Gap(NamedTuple):
    """Why a test fails; it is not even run where it would hang, or leave something behind."""

    why: str
    is_run: bool = True


_GAPS = {
    "gvisor": {
        ("test_docker_network", "test_jobs_cannot_reach_each_other"): Gap(
            "the runsc of Debian 12 has no network on newer kernels"
        ),
    },
    "podman": {
        ("test_docker_executor", "test_memory_limit"): Gap(
            "Podman 4.3 does not notice on cgroups v1 that a container ran out of memory"
        ),
        ("test_docker_network", "test_jobs_cannot_reach_each_other"): Gap(
            "Podman ignores the option of a network that keeps its containers apart"
        ),
        ("test_docker_network", "test_a_runtime_that_is_not_there_is_named"): Gap(
            "Podman ignores the runtime that a container is created with"
        ),
        ("test_executor_secrets", "test_the_engine_does_not_tell"): Gap(
            "Podman 4.3 answers nothing when it is asked for the processes of a container"
        ),
    },
    "docker-btrfs": {
        (
            "test_bounded_containers",
            "test_a_job_that_fills_its_container_still_has_its_output",
        ): Gap(
            "on Btrfs what was allocated before the container was full cannot be written", False
        ),
        ("test_executor", "test_a_tree_of_directories_too_deep_for_python_is_removed"): Gap(
            "Docker's Btrfs driver cannot remove a container with paths of more than 4095 bytes",
            False,
        ),
    },
}


def gap(engine, module, test):
    """The gap that makes this test fail on this engine; `None` when it holds."""
    return _GAPS.get(engine, {}).get((module, test))
