"""What a command and the processes that it started use, from /proc."""

import os
from dataclasses import dataclass
from pathlib import Path

from ci_common.resources import ResourceUsage

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class _Process:
    """Of its stat file, see proc(5)."""

    pid: int
    parent: int
    session: int
    ticks: int
    """CPU time of it, and of its children that have ended and were waited for."""
    pages: int
    """Of resident memory."""


def session_usage(leader: int) -> ResourceUsage | None:
    """Of the session of this process, and of all that descends from it; `None` when nothing is
    left of it, and where there is no /proc. Memory that processes share counts for each.
    """
    processes = _processes()
    members = {one.pid for one in processes.values() if one.session == leader}
    grown = True
    while grown:
        found = {one.pid for one in processes.values() if one.parent in members} - members
        members |= found
        grown = bool(found)
    if not members:
        return None
    own = [processes[pid] for pid in members]
    return ResourceUsage(
        sum(one.ticks for one in own) / os.sysconf("SC_CLK_TCK"),
        sum(one.pages for one in own) * os.sysconf("SC_PAGE_SIZE"),
    )


def _processes() -> dict[int, _Process]:
    found = {}
    for entry in _PROC.glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        process = _Process(
            pid=int(entry.name),
            parent=int(fields[1]),
            session=int(fields[3]),
            ticks=sum(map(int, fields[11:15])),
            pages=int(fields[21]),
        )
        found[process.pid] = process
    return found
