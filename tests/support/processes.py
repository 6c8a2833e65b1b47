"""Processes of this machine, found by what they were started with."""

from contextlib import suppress
from pathlib import Path


def processes_with(variable):
    """The ids of processes whose environment has this, as `NAME=value`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):  # it has ended, or is not ours
            if variable.encode() in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return found


def listening_ports(process_id):
    """The TCP ports of IPv4 that a process listens at."""
    sockets = set()
    for path in Path(f"/proc/{process_id}/fd").iterdir():
        with suppress(OSError):
            sockets.add(str(path.readlink()).removeprefix("socket:[").removesuffix("]"))
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [
        int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == "0A" and row[9] in sockets
    ]
