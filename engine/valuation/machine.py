"""How many threads and how much memory a run may take."""

import mmap
import os
import sys

from engine.model.config import Execution
from engine.valuation.capabilities import cpu_quota, memory_limit

DEFAULT_MEMORY = 1 << 30


def threads(execution: Execution) -> int:
    """As asked for, or what this process may use of the machine."""
    if execution.threads is not None:
        return execution.threads
    usable = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    quota = cpu_quota()
    return usable if quota is None else max(1, min(usable, round(quota)))


def memory(execution: Execution) -> int:
    """Bytes for blocks, as asked for, or half of the container's limit, at most 1 GiB."""
    if execution.max_memory is not None:
        return execution.max_memory
    limit = memory_limit()
    return DEFAULT_MEMORY if limit is None else min(DEFAULT_MEMORY, limit // 2)


def current_memory() -> int | None:
    """The memory this process has in use, in bytes, where the system says so."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * mmap.PAGESIZE
    except (OSError, ValueError, IndexError):
        return None


def peak_memory() -> int | None:
    """The most memory this process has had in use, in bytes, where the system says so."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
