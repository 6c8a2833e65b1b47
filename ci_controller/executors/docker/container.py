"""How a container is made: its name, labels, limits and user; and how it is read back."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import docker
from docker.types import LogConfig

from ci_common.job import Network, ResourceLimits
from ci_common.ports.workloads import Workload, WorkloadState
from ci_controller.executors.docker.project_tar import HOME, SECRETS, USER_ID, WORKSPACE

LABEL_INSTANCE = "ci-runner.instance"
LABEL_JOB = "ci-runner.job"
LABEL_ROLE = "ci-runner.role"
LABEL_LOG_BASE = "ci-runner.log-base"
LABEL_ATTEMPT = "ci-runner.attempt"
LABEL_EPOCH = "ci-runner.epoch"

ROLE_JOB = "job"
ROLE_SETUP = "setup"

_ONE_STREAM = ["/bin/sh", "-c", 'exec 2>&1; exec "$@"', "sh"]
"""One pipe for stdout and stderr, so that the log has them in the order they were written,
live and when it is read again after a restart."""

_EXPORT_SECRETS = (
    'for _ci_name in {names}; do _ci_value=$(cat "{directory}/$_ci_name" && echo x) || exit 126; '
    'export "$_ci_name=${{_ci_value%x}}"; done; '
)
"""Values become variables in the container only: what it is made of names them, no more. The
shell takes line ends off, so there is something after them that is taken off instead."""

_STORED_LOG_FACTOR = 10
"""The engine's own copy of the log is what a restart reads again, so it must hold far more than
ours; but a job that writes without end must not fill the engine's disk with it."""

_ENVIRONMENT = {
    "HOME": f"/{HOME}",
    # The init process passes signals on to the whole process group, not to its child alone.
    "TINI_KILL_PROCESS_GROUP": "1",
}

_CPU_PERIOD_MICROSECONDS = 100_000

_STATES = {
    "created": WorkloadState.CREATED,
    "exited": WorkloadState.EXITED,
    "dead": WorkloadState.EXITED,
}


@dataclass(frozen=True, slots=True)
class Isolation:
    """What keeps containers from each other, and from the machine."""

    network: str = "bridge"
    """Of containers that have one."""
    runtime: str | None = None
    """What runs them; `None` is the engine's default."""


@dataclass(frozen=True, slots=True)
class EngineBounds:
    """Bounds that depend on how the engine stores containers."""

    block_device: str | None = None
    """The disk that containers are on; needed where a job bounds its block I/O."""
    work_mb: int | None = None
    """What a container may write to its file system, in MiB."""


def create(
    client: docker.APIClient,
    *,
    image: str,
    name: str,
    command: list[str],
    labels: dict[str, str],
    env: dict[str, str],
    secret_variables: Sequence[str] = (),
    limits: ResourceLimits,
    isolation: Isolation,
    bounds: EngineBounds = EngineBounds(),
) -> str:
    """Create a container that may do as little as possible; returns its id."""
    host = client.create_host_config(
        init=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges:true"],
        network_mode="none" if limits.network is Network.NONE else isolation.network,
        runtime=isolation.runtime,
        pids_limit=limits.pids,
        log_config=_log_config(limits),
        **_bounds(limits, bounds),
    )
    container = client.create_container(
        image,
        entrypoint=_entrypoint(secret_variables),
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


def _entrypoint(secret_variables: Sequence[str]) -> list[str]:
    if not secret_variables:
        return _ONE_STREAM
    names = " ".join(secret_variables)  # checked: nothing in them means anything to a shell
    shell, option, script, *rest = _ONE_STREAM
    export = _EXPORT_SECRETS.format(names=names, directory=f"/{SECRETS}")
    return [shell, option, export + script, *rest]


def _log_config(limits: ResourceLimits) -> LogConfig:
    size = f"{limits.log_mb * _STORED_LOG_FACTOR}m"
    return LogConfig(type="json-file", config={"max-size": size, "max-file": "1"})


def _bounds(limits: ResourceLimits, engine: EngineBounds) -> dict[str, Any]:
    bounds: dict[str, Any] = {}
    if limits.memory_mb is not None:
        bounds["mem_limit"] = bounds["memswap_limit"] = limits.memory_mb << 20
    if limits.cpu_percent is not None:
        # Not nano_cpus, of which the engine refuses more than the machine has.
        bounds["cpu_period"] = _CPU_PERIOD_MICROSECONDS
        bounds["cpu_quota"] = limits.cpu_percent * _CPU_PERIOD_MICROSECONDS // 100
    if limits.shm_mb is not None:
        bounds["shm_size"] = limits.shm_mb << 20
    if limits.block_io_bytes is not None:
        rate = [{"Path": engine.block_device, "Rate": limits.block_io_bytes}]
        bounds["device_read_bps"] = bounds["device_write_bps"] = rate
    if engine.work_mb is not None:
        bounds["storage_opt"] = {"size": f"{engine.work_mb}m"}
    return bounds


def from_list(entry: dict[str, Any]) -> Workload:
    """A workload of an entry of the engine's list of containers."""
    labels = entry["Labels"]
    return Workload(
        job_id=labels[LABEL_JOB],
        state=_STATES.get(entry["State"], WorkloadState.RUNNING),
        log_base=int(labels[LABEL_LOG_BASE]),
        attempt=_attempt(labels),
        epoch=epoch_of(labels),
    )


def from_inspect(facts: dict[str, Any]) -> Workload:
    """A workload of the engine's full description of a container."""
    labels, state = facts["Config"]["Labels"], facts["State"]
    exited = _STATES.get(state["Status"]) is WorkloadState.EXITED
    return Workload(
        job_id=labels[LABEL_JOB],
        state=_STATES.get(state["Status"], WorkloadState.RUNNING),
        log_base=int(labels[LABEL_LOG_BASE]),
        attempt=_attempt(labels),
        epoch=epoch_of(labels),
        exit_code=state["ExitCode"] if exited else None,
        oom_killed=bool(state["OOMKilled"]),
        started_at=_time(state["StartedAt"]),
        finished_at=_time(state["FinishedAt"]),
    )


def _attempt(labels: dict[str, str]) -> int:
    # The first version had no retries, and no such label.
    return int(labels.get(LABEL_ATTEMPT, 1))


def epoch_of(labels: dict[str, str]) -> int:
    """Of the controller lease that something was made under; 0 in the first version."""
    return int(labels.get(LABEL_EPOCH, 0))


def _time(text: str) -> datetime | None:
    if text.startswith("0001-"):
        return None  # the engine's word for never
    # Nanoseconds are more than datetime can read.
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))
