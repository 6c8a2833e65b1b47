"""The container engine: the one that answers, or Debian's `docker.io`, installed and started.

"Answers" is asked with the library the server itself uses, so the scripts and the server agree
about DOCKER_HOST, TLS and the default socket.
"""

import os
import shutil
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import docker
import docker.errors

from setup_steps import apt, locks
from setup_steps.console import SetupError, say, step

DAEMON_LOG = Path("/var/log/dockerd.log")
PID_FILE = Path("/var/run/docker.pid")
DEFAULT_SOCKET = "unix:///var/run/docker.sock"
PACKAGES = ("docker.io", "iptables", "cgroupfs-mount")
START_SECONDS = 60.0


def where() -> str:
    """The address that is asked."""
    return os.environ.get("DOCKER_HOST") or DEFAULT_SOCKET


def connect(timeout: float = 600) -> docker.DockerClient:
    """A client of the engine in use.

    Raises:
        SetupError: none answers.
    """
    try:
        _knock(timeout)
        return docker.from_env(version="auto", timeout=int(timeout))
    except (OSError, docker.errors.DockerException) as error:
        raise SetupError(f"No container engine answers at {where()}: {error}") from error


def _knock(timeout: float) -> None:
    """Connect to a local socket once: docker-py's own failure is wordy and leaks the socket."""
    if where().startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as knock:
            knock.settimeout(timeout)
            knock.connect(where().removeprefix("unix://"))


def why_silent(timeout: float = 5) -> str | None:
    """None when an engine answers, otherwise the reason it does not."""
    try:
        client = connect(timeout)
    except SetupError as error:
        return str(error)
    client.close()
    return None


def ensure(*, install: bool = True) -> None:
    """Make sure that an engine answers, starting or installing one when that is possible.

    Raises:
        SetupError: no engine, and what to do about it.
    """
    reason = why_silent()
    if reason is None:
        return
    with locks.held("engine"):
        if why_silent() is None:
            return
        _check_may_start(reason, install=install)
        if shutil.which("dockerd") is None:
            apt.install(*PACKAGES)
        if not _answers_within(5.0 if _running_pid() else 0.0):
            _start()


def _check_may_start(reason: str, *, install: bool) -> None:
    """Raise unless this script may start, and when needed install, an engine here."""
    if os.environ.get("DOCKER_HOST") not in (None, "", DEFAULT_SOCKET):
        raise SetupError(f"{reason}\nStart the engine that DOCKER_HOST names, or unset it.")
    if "permission denied" in reason.lower():
        raise SetupError(
            f"{reason}\nAn engine is there, but this user may not use it: join the group "
            "`docker` (and log in again), or run as root."
        )
    installed = shutil.which("dockerd") is not None
    if not (install and (installed or apt.is_usable()) and os.geteuid() == 0):
        raise SetupError(f"{reason}\n{_advice(install=install)}")


def _advice(*, install: bool) -> str:
    if not install:
        return "--no-install keeps this script from starting one: start it, or set DOCKER_HOST."
    return (
        "As root on Debian or Ubuntu this script installs one by itself; "
        "elsewhere install Docker (https://docs.docker.com/engine/install/), or set DOCKER_HOST."
    )


def _start() -> None:
    with step("Starting the container engine (dockerd)"):
        if Path("/run/systemd/system").exists() and _systemctl_start():
            pass
        else:
            _spawn()
        if not _answers_within(START_SECONDS):
            raise SetupError(
                f"dockerd was started but does not answer at {DEFAULT_SOCKET} after "
                f"{START_SECONDS:.0f} s. The end of {DAEMON_LOG}:\n{_log_tail()}"
            )
    say(f"    it goes on running in the background; its log is {DAEMON_LOG}")


def _systemctl_start() -> bool:
    return subprocess.run(["systemctl", "start", "docker"], check=False).returncode == 0


def _spawn() -> None:
    """Start dockerd in a session of its own, so that it outlives the script and its terminal."""
    _mount_cgroups()
    _remove_stale_pid_file()
    with DAEMON_LOG.open("ab") as log:
        subprocess.Popen(
            ["dockerd"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd="/",
        )


def _mount_cgroups() -> None:
    """Where neither systemd nor a host mounted the control groups, dockerd cannot start."""
    kinds = {line.split()[2] for line in Path("/proc/mounts").read_text().splitlines()}
    if not kinds & {"cgroup", "cgroup2"} and shutil.which("cgroupfs-mount"):
        subprocess.run(["cgroupfs-mount"], check=False)


def _running_pid() -> int | None:
    """The process that the pid file names, if it is alive and really is dockerd."""
    try:
        pid = int(PID_FILE.read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]
    except (OSError, ValueError):
        return None
    return pid if command.endswith(b"dockerd") else None


def _remove_stale_pid_file() -> None:
    """dockerd refuses to start while the file names any living process."""
    if _running_pid() is None:
        with suppress(FileNotFoundError):
            PID_FILE.unlink()


def _answers_within(seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while True:
        if why_silent(timeout=2) is None:
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.2)


def _log_tail() -> str:
    try:
        return "\n".join(DAEMON_LOG.read_text(errors="replace").splitlines()[-20:])
    except OSError as error:
        return f"(not readable: {error})"
