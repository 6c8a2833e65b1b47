"""How a container is made: its name, labels, limits and user; and how it is read back."""

import re
from datetime import datetime
from typing import Any

import docker
from docker.types import LogConfig

from ci_common.job import Network, ResourceLimits
from ci_common.ports import Workload, WorkloadState
from ci_controller.executors.docker.project_tar import HOME, USER_ID, WORKSPACE

LABEL_INSTANCE = "ci-runner.instance"
LABEL_JOB = "ci-runner.job"
LABEL_ROLE = "ci-runner.role"
LABEL_LOG_BASE = "ci-runner.log-base"

ROLE_JOB = "job"
ROLE_SETUP = "setup"

_ONE_STREAM = ["/bin/sh", "-c", 'exec 2>&1; exec "$@"', "sh"]
"""One pipe for stdout and stderr, so that the log has them in the order they were written,
live and when it is read again after a restart."""

_UNLIMITED_LOG = LogConfig(type="json-file", config={"max-size": "1024g", "max-file": "1"})
"""The engine's own copy of the log must never rotate: it is what a restart reads again."""

_ENVIRONMENT = {
    "CI": "true",
    "HOME": f"/{HOME}",
    "PYTHONUNBUFFERED": "1",
    # The init process passes signals on to the whole process group, not to its child alone.
    "TINI_KILL_PROCESS_GROUP": "1",
}

_CPU_PERIOD_MICROSECONDS = 100_000

_STATES = {
    "created": WorkloadState.CREATED,
    "exited": WorkloadState.EXITED,
    "dead": WorkloadState.EXITED,
}


def create(
    client: docker.APIClient,
    *,
    image: str,
    name: str,
    command: list[str],
    labels: dict[str, str],
    env: dict[str, str],
    limits: ResourceLimits,
) -> str:
    """Create a container that may do as little as possible; returns its id."""
    host = client.create_host_config(
        init=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges:true"],
        network_mode="none" if limits.network is Network.NONE else "bridge",
        pids_limit=limits.pids,
        log_config=_UNLIMITED_LOG,
        **_bounds(limits),
    )
    container = client.create_container(
        image,
        entrypoint=_ONE_STREAM,
        command=command,
        name=name,
        user=f"{USER_ID}:{USER_ID}",
        working_dir=f"/{WORKSPACE}",
        environment={**_ENVIRONMENT, **env},
        labels=labels,
        stop_signal="SIGTERM",
        healthcheck={"test": ["NONE"]},
        host_config=host,
    )
    return str(container["Id"])


def _bounds(limits: ResourceLimits) -> dict[str, Any]:
    bounds: dict[str, Any] = {}
    if limits.memory_mb is not None:
        bounds["mem_limit"] = bounds["memswap_limit"] = limits.memory_mb << 20
    if limits.cpu_percent is not None:
        # Not nano_cpus, of which the engine refuses more than the machine has.
        bounds["cpu_period"] = _CPU_PERIOD_MICROSECONDS
        bounds["cpu_quota"] = limits.cpu_percent * _CPU_PERIOD_MICROSECONDS // 100
    return bounds


def from_list(entry: dict[str, Any]) -> Workload:
    """A workload of an entry of the engine's list of containers."""
    labels = entry["Labels"]
    return Workload(
        job_id=labels[LABEL_JOB],
        state=_STATES.get(entry["State"], WorkloadState.RUNNING),
        log_base=int(labels[LABEL_LOG_BASE]),
    )


def from_inspect(facts: dict[str, Any]) -> Workload:
    """A workload of the engine's full description of a container."""
    labels, state = facts["Config"]["Labels"], facts["State"]
    exited = _STATES.get(state["Status"]) is WorkloadState.EXITED
    return Workload(
        job_id=labels[LABEL_JOB],
        state=_STATES.get(state["Status"], WorkloadState.RUNNING),
        log_base=int(labels[LABEL_LOG_BASE]),
        exit_code=state["ExitCode"] if exited else None,
        oom_killed=bool(state["OOMKilled"]),
        started_at=_time(state["StartedAt"]),
        finished_at=_time(state["FinishedAt"]),
    )


def _time(text: str) -> datetime | None:
    if text.startswith("0001-"):
        return None  # the engine's word for never
    # Nanoseconds are more than datetime can read.
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))
