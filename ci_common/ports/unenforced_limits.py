"""The limits that were set and that an executor cannot enforce."""

from dataclasses import dataclass
from enum import StrEnum

from ci_common.job import Network, ResourceLimits


class Limit(StrEnum):
    """What can be bounded, or kept apart."""

    WORK = "CI_MAX_WORK_MB"
    """The disk space of a job; the operator sets it for all."""
    MEMORY = "memory"
    CPU = "cpu"
    PIDS = "pids"
    BLOCK_IO = "block_io"
    SHM = "shm"
    NETWORK = "network"
    RUNTIME = "CI_DOCKER_RUNTIME"
    """What runs the jobs; the operator chooses it."""
    ISOLATION = "isolation"
    """That jobs of different users cannot reach each other."""


@dataclass(frozen=True, slots=True)
class Unenforced:
    """A limit that is not kept here, whoever asks for it."""

    limit: Limit
    why: str
    """And what the operator can do: for people, without a full stop."""

    @property
    def message(self) -> str:
        """For the log of a job that has the limit, and for the operator."""
        return f"{self.limit.value} is not enforced: {self.why}"

    def concerns(self, limits: ResourceLimits) -> bool:
        """Whether a job with these limits relies on it."""
        asked = {
            Limit.WORK: True,
            Limit.MEMORY: limits.memory_mb is not None,
            Limit.CPU: limits.cpu_percent is not None,
            Limit.PIDS: limits.pids != ResourceLimits().pids,
            Limit.BLOCK_IO: limits.block_io_bytes is not None,
            Limit.SHM: limits.shm_mb is not None,
            Limit.NETWORK: limits.network is Network.NONE,
        }
        return asked.get(self.limit, False)
