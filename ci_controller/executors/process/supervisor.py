"""Runs one command to its end and writes down how it ended.

A program of its own (`python -I supervisor.py STATE_DIR`), so that the command and its result
outlive the controller. It reads `request.json` and writes, in the same directory, `started.json`,
the command's `output`, and `ended.json`. Standard library only.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path


def main() -> None:
    """Run the command of the state directory named by the only argument."""
    state = Path(sys.argv[1])
    # Before the command starts: whoever removes the directory either stops this program here,
    # or finds what is needed to stop the command.
    write_json(state / "supervisor.json", {"pid": os.getpid(), "start": start_time(os.getpid())})
    request = json.loads((state / "request.json").read_text())
    with (state / "output").open("ab", buffering=0) as output:
        try:
            process = subprocess.Popen(
                request["command"],
                cwd=request["directory"],
                env=request["env"] | variables(request.get("secrets", [])),
                user=request["user"],
                group=request["user"],
                extra_groups=None if request["user"] is None else [],
                umask=0o022,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            output.write(f"cannot run {request['command'][0]!r}: {error}\n".encode())
            write_json(state / "started.json", {"group": None, "start": "", "at": now()})
            write_json(state / "ended.json", {"exit_code": 127, "at": now()})
            return
        started = {"group": process.pid, "start": start_time(process.pid), "at": now()}
        write_json(state / "started.json", started)
        code = process.wait()
        # What it left running ends with it, as in a container.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    write_json(state / "ended.json", {"exit_code": code if code >= 0 else 128 - code, "at": now()})


def variables(files: list[str]) -> dict[str, str]:
    """Secrets, by the names of their files: the request, which is on disk, does not have them."""
    return {Path(file).name: os.fsdecode(Path(file).read_bytes()) for file in files}


def now() -> str:
    """The current time, RFC 3339."""
    return datetime.now(UTC).isoformat()


def start_time(pid: int) -> str:
    """When a process started, in the kernel's ticks: with the pid, a name not used twice while
    the machine runs. See proc(5), field 22 of stat. Raises OSError when there is none.
    """
    return _stat(pid)[19]


def process_state(pid: int) -> str:
    """The letter for what a process is doing, such as Z for a zombie. Raises OSError."""
    return _stat(pid)[0]


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def write_json(path: Path, content: dict[str, object]) -> None:
    """Write a file that is there whole, or not at all."""
    partial = path.with_suffix(f".{os.getpid()}.part")
    partial.write_text(json.dumps(content))
    partial.replace(path)


if __name__ == "__main__":
    main()
