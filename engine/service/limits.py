"""What a request may cost."""

from dataclasses import dataclass

DEFAULT_BLOCKS = 256 << 20
MOST_BLOCKS = 1 << 30
LEAST_RESERVE = 256 << 20


@dataclass(frozen=True)
class WorkerLimits:
    """What a model may ask for; sizes in bytes, of the request and of what it unpacks to; times in
    seconds. `memory` is what the process of one model may take, None is no limit.
    """

    body: int = 32 << 20
    unpacked: int = 256 << 20
    scenarios: int = 100_000
    memory: int | None = None
    threads: int | None = None
    allow_hooks: bool = False
    connections: int = 256
    body_seconds: float = 60.0
    heartbeat_seconds: float = 15.0

    @property
    def blocks(self) -> int:
        """Bytes for blocks of values by policy, of the memory of one model."""
        if self.memory is None:
            return DEFAULT_BLOCKS
        return min(MOST_BLOCKS, self.memory // 2)


def memory_of_models(container: int | None) -> int | None:
    """What of a container's memory is left to models: the worker itself, and its pages of files,
    keep an eighth, at least 256 MiB, but never more than half.
    """
    if container is None:
        return None
    return container - min(container // 2, max(LEAST_RESERVE, container // 8))
