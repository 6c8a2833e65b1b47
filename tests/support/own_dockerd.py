"""A Docker daemon of a test's own: own socket, own data, no network; to be killed at will.

It lives in a network namespace of its own. That is not for neatness: a daemon that is told
`--bridge=none` deletes the interface docker0, which is the one of the machine's own daemon.
"""

import fcntl
import ipaddress
import json
import os
import shutil
import signal
import socket
import subprocess
from contextlib import contextmanager, suppress
from pathlib import Path

import docker
import pytest
import requests

from support.waiting import until_sync

IMAGE = "ci-runner:latest"
VOLATILE = "ci-runner-faults:volume"
"""The runner image with a volume declared, so that every container has one to be left behind."""

ISOLATED = ["setpriv", "--pdeathsig", "TERM", "unshare", "--net"]
"""Becomes the command it starts, so that the process is the daemon itself. It ends when the tests
are killed, too.
"""

_TUNNELS = frozenset(
    {"tunl0", "sit0", "ip6tnl0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0"}
)
"""What some kernels put into every new namespace."""

_START_SECONDS = 60.0
_STOP_SECONDS = 30.0


class OwnDockerd:
    """`dockerd` with everything it has in one directory; containers have no network there, or,
    with `bridge`, one that leads nowhere. `config` is the content of its `daemon.json`.
    """

    def __init__(self, directory, config=None, bridge=False):
        self._directory = Path(directory)
        self._directory.mkdir(exist_ok=True)
        self._config = config or {}
        self._bridge = bridge
        self._process = None
        self.log_path = self._directory / "dockerd.log"

    @property
    def docker_host(self):
        return f"unix://{self._directory / 'docker.sock'}"

    def start(self, live_restore=False):
        """Start, and wait until it answers."""
        place = self._directory
        (place / "pid").unlink(missing_ok=True)  # its own, when it was killed
        options = {
            "host": self.docker_host,
            "data-root": place / "data",
            "exec-root": place / "run",
            "pidfile": place / "pid",
            "config-file": place / "daemon.json",
            **({} if self._bridge else {"bridge": "none"}),
            # In its own namespace; without, a network cannot keep its containers apart.
            "iptables": str(self._bridge).lower(),
            "ip-forward": "false",
            "ip-masq": "false",
            "live-restore": str(live_restore).lower(),
        }
        (place / "daemon.json").write_text(json.dumps(self._config))
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [*ISOLATED, "dockerd", *(f"--{name}={value}" for name, value in options.items())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until_sync(self._answers_or_ended, what="dockerd's start", seconds=_START_SECONDS)
        if self._process.poll() is not None:
            pytest.fail(f"dockerd did not start\n{self.log_tail()}")
        return self

    def _answers_or_ended(self):
        if self._process.poll() is not None:
            return True
        # Not with a client of docker-py, which leaks its connection when there is no answer.
        with suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(str(self._directory / "docker.sock"))
            connection.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
            return b" 200 " in connection.recv(100)
        return False

    def kill(self):
        """kill -9 to the daemon; the kernel ends its containerd with it."""
        record = self._directory / "run" / "containerd" / "containerd.pid"
        containerd = int(record.read_text())
        self._process.kill()
        self._process.wait()
        until_sync(lambda: has_ended(containerd), what="containerd's end")
        # Where nobody reaps orphans, the next daemon takes a zombie for a containerd that runs.
        record.unlink(missing_ok=True)

    def terminate(self):
        """SIGTERM, and wait for the end."""
        self._process.terminate()
        self._process.wait(_STOP_SECONDS)

    def close(self):
        """End the daemon, its containerd and whatever runs on it; its data stays."""
        if self._process is None:
            return
        if self._process.poll() is None:
            with suppress(docker.errors.DockerException, requests.RequestException):
                self.remove_all()
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None
        self._unmount()

    def _unmount(self):
        """What a daemon that was killed leaves mounted below its own directory, innermost first."""
        own = f"{self._directory}/"
        points = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for point in sorted((point for point in points if point.startswith(own)), reverse=True):
            subprocess.run(["umount", "--lazy", point], check=False)

    def remove_all(self):
        """Remove containers and volumes, of whichever test."""
        with self.client() as client:
            for entry in client.api.containers(all=True):
                with suppress(docker.errors.APIError):
                    client.api.remove_container(entry["Id"], force=True, v=True)
            client.api.prune_volumes()

    @contextmanager
    def client(self):
        client = docker.DockerClient(base_url=self.docker_host, version="auto", timeout=60)
        try:
            yield client
        finally:
            client.close()

    def load(self, archive):
        """Take in the runner image, once, and give it a volume."""
        with self.client() as client:
            if client.api.images(name=VOLATILE):
                return
            with archive.open("rb") as content:
                for told in client.api.load_image(content):
                    assert "error" not in told, json.dumps(told)
            made = client.api.create_container(IMAGE, ["true"], network_disabled=True)
            repository, _, tag = VOLATILE.partition(":")
            client.api.commit(made["Id"], repository, tag, changes=["VOLUME /scratch"])
            client.api.remove_container(made["Id"], v=True)

    def cut_bridge(self):
        """Take away what the containers of its default network are connected to. In its own
        network namespace: the machine's interface of this name is another one.
        """
        assert self._bridge
        self._in_network("ip", "link", "delete", "docker0")

    def mend_bridge(self):
        """Make it again, the way somebody would by hand."""
        with self.client() as client:
            (addresses,) = client.api.inspect_network("bridge")["IPAM"]["Config"]
        subnet = ipaddress.ip_network(addresses["Subnet"])
        self._in_network("ip", "link", "add", "docker0", "type", "bridge")
        address = f"{subnet[1]}/{subnet.prefixlen}"
        self._in_network("ip", "address", "add", address, "dev", "docker0")
        self._in_network("ip", "link", "set", "docker0", "up")

    def _in_network(self, *command):
        enter = ["nsenter", "--target", str(self._process.pid), "--net"]
        subprocess.run([*enter, *command], check=True, capture_output=True)

    def log_tail(self, lines=30):
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])


def has_ended(pid):
    """Whether a process is gone, or only its zombie is there."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def is_isolated():
    """Whether a process that is started so sees none of the machine's interfaces."""
    look = [*ISOLATED, "cat", "/proc/net/dev"]
    try:
        seen = subprocess.run(look, check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return False
    names = {line.partition(":")[0].strip() for line in seen.splitlines() if ":" in line}
    return names <= {"lo"} | _TUNNELS


@contextmanager
def own_dockerd(shared, bridge=False):
    """One at a time of all test processes that share this directory; its images are kept there."""
    if os.geteuid() != 0 or shutil.which("dockerd") is None:
        pytest.skip("to start a dockerd takes root, and a dockerd")
    if not is_isolated():
        pytest.skip("this machine gives out no network namespaces")
    shared.mkdir(exist_ok=True)
    archive = shared / "image.tar"
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not archive.exists():
            part = archive.with_suffix(".part")
            subprocess.run(["docker", "save", "-o", part, IMAGE], check=True, timeout=120)
            part.rename(archive)
        # Without a bridge, and with one, it keeps its networks in other places.
        daemon = OwnDockerd(shared / ("bridged" if bridge else "engine"), bridge=bridge)
        try:
            daemon.start().load(archive)
            daemon.remove_all()
            yield daemon
        finally:
            daemon.close()
