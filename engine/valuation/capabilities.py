"""What this machine, or this container, gives numpy to work with."""

import mmap
import os
import platform
import sys
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any

import numpy as np

CGROUP_ROOT = Path("/sys/fs/cgroup")
NO_LIMIT_V1 = 1 << 60
ALIGNMENT = 16
ALIGNMENT_SIZES = (*range(1, 65), 1000, 4097, 100_003, 1_000_001)
SHARED_MEMORY = "/dev/shm"  # noqa: S108 - only its size is asked for
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def capabilities(cgroup_root: Path = CGROUP_ROOT) -> dict[str, Any]:
    """Everything below in one JSON-ready dict; memory in bytes, None where there is no limit."""
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "numpy": np.__version__,
        "blas": blas(),
        "simd": simd(),
        "threads": threads(cgroup_root),
        "alignment": alignment(),
        "shared_memory": shared_memory(),
        "memory_limit_bytes": memory_limit(cgroup_root),
    }


def blas() -> dict[str, str]:
    """Name and version of the linear algebra library that numpy was built with."""
    found = _numpy_config().get("Build Dependencies", {}).get("blas", {})
    return {key: str(found.get(key, "unknown")) for key in ("name", "version")}


def simd() -> dict[str, list[str]]:
    """SIMD extensions: the build's baseline, and those dispatched to on this processor or not."""
    found = _numpy_config().get("SIMD Extensions", {})
    baseline, used = found.get("baseline", []), found.get("found", [])
    return {
        "baseline": list(baseline),
        "in_use": [*baseline, *used],
        "not_found": list(found.get("not found", [])),
    }


def threads(cgroup_root: Path = CGROUP_ROOT) -> dict[str, Any]:
    """Processors this process may use, its share of them, and what limits BLAS's threads."""
    return {
        "cpus": os.cpu_count(),
        "usable_cpus": _usable_cpus(),
        "cpu_quota": cpu_quota(cgroup_root),
        "environment": {name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ},
    }


def alignment() -> dict[str, Any]:
    """Whether numpy's buffers start at multiples of 16 bytes, tried for many sizes."""
    buffers = [np.empty(size) for size in ALIGNMENT_SIZES]
    addresses = [buffer.ctypes.data for buffer in buffers]
    smallest = min(address & -address for address in addresses)
    return {"required": ALIGNMENT, "verified": smallest >= ALIGNMENT, "found": smallest}


def shared_memory() -> dict[str, Any]:
    """Whether shared memory can be made, and the size of what it is taken from, in bytes."""
    try:
        block = SharedMemory(create=True, size=mmap.PAGESIZE)
    except OSError:
        return {"available": False, "bytes": None}
    block.close()
    block.unlink()
    known = sys.platform != "win32" and os.path.isdir(SHARED_MEMORY)
    found = os.statvfs(SHARED_MEMORY) if known else None
    return {"available": True, "bytes": found.f_frsize * found.f_blocks if found else None}


def cpu_quota(cgroup_root: Path = CGROUP_ROOT) -> float | None:
    """The control group's CPU limit in processors (1.5 is one and a half); None is no limit."""
    words = _read(cgroup_root / "cpu.max").split()
    if not words:
        names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
        words = [_read(cgroup_root / "cpu" / name).strip() for name in names]
    quota, period = (_number(word) for word in words)
    return quota / period if quota and period and quota > 0 else None


def memory_limit(cgroup_root: Path = CGROUP_ROOT) -> int | None:
    """The control group's memory limit in bytes (version 2, then version 1); None is no limit."""
    for path in ("memory.max", "memory/memory.limit_in_bytes"):
        limit = _number(_read(cgroup_root / path).strip())
        if limit is not None:
            return limit if limit < NO_LIMIT_V1 else None
    return None


def _numpy_config() -> dict[str, Any]:
    config: Any = np.show_config(mode="dicts")
    return dict(config or {})


def _usable_cpus() -> int | None:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _number(text: str) -> int | None:
    """`max`, which means no limit, and an empty text are None."""
    try:
        return int(text)
    except ValueError:
        return None
