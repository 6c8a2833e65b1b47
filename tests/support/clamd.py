"""A real `clamd` of a test's own, which knows the signatures that the test gives it."""

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest

from support.pages import code_of, page
from support.waiting import until_sync

EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
"""In two parts, so that scanners leave this file alone."""
SIGNATURE = "44d88612fea8a8f36de82e1278abb02f:68:Test.Eicar\n"

_USER = "clamav"
"""Of Debian's package. That the daemon is another user than the server is why `--fdpass` exists."""


def documented_settings():
    """The settings that the how-to page tells operators to change, by name."""
    lines = code_of(page("how-to/scan-uploads.md"), "With ClamAV", "conf").splitlines()
    return dict(line.split() for line in lines)


class Clamd:
    """A daemon that can be started again with other settings, at the same socket."""

    def __init__(self):
        # Not below pytest's directories: those are closed to other users, and too long for sockets.
        self.directory = Path(tempfile.mkdtemp(prefix="clamd-"))
        self.directory.chmod(0o755)
        self.socket, self.log = self.directory / "socket", self.directory / "log"
        self.signatures = self.directory / "signatures"
        self.signatures.mkdir()
        (self.signatures / "own.hdb").write_text(SIGNATURE)
        self.temporary = self.directory / "temporary"
        self.temporary.mkdir()
        self._config = self.directory / "clamd.conf"
        self._process = None

    def _configure(self, settings):
        lines = {
            "Foreground": "yes",
            "LocalSocket": self.socket,
            "LocalSocketMode": "666",
            "DatabaseDirectory": self.signatures,
            "TemporaryDirectory": self.temporary,
            "LogFile": self.log,
            "LogClean": "yes",
            **settings,
        }
        if os.geteuid() == 0:
            lines["User"] = _USER
            for path in (self.directory, self.temporary):
                shutil.chown(path, _USER)
        self._config.write_text("".join(f"{name} {value}\n" for name, value in lines.items()))

    def command(self, *options):
        """What scans a file on stdin, as the how-to page shows it unless there are options."""
        chosen = options or ("--fdpass",)
        return " ".join(("clamdscan", f"--config-file={self._config}", *chosen, "--no-summary -"))

    def start(self, **settings):
        """Start it with the how-to page's settings, and others; wait until it answers."""
        self._configure({**documented_settings(), **settings})
        with (self.directory / "output").open("wb") as output:
            self._process = subprocess.Popen(
                ["clamd", f"--config-file={self._config}"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        until_sync(self._answers_or_ended, what="clamd's start")
        if self._process.poll() is not None:
            pytest.fail(f"clamd did not start\n{(self.directory / 'output').read_text()}")
        return self

    def send(self, command):
        """What it answers to a command of its protocol, such as RELOAD."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(str(self.socket))
            connection.sendall(f"z{command}\0".encode())
            return connection.recv(1 << 16).rstrip(b"\0").decode()

    def learn(self, signatures):
        """Begin to load more lines; until it has, it goes on with the old ones."""
        (self.signatures / "later.hdb").write_text(signatures)
        assert self.send("RELOAD") == "RELOADING"

    def pause(self):
        """It takes connections, and answers nothing."""
        self._process.send_signal(signal.SIGSTOP)

    def stop(self, number=signal.SIGTERM):
        """End it by this signal."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)
            self._process.send_signal(signal.SIGCONT)
            self._process.wait(30)

    def close(self):
        """End it, and leave nothing."""
        self.stop(signal.SIGKILL)
        shutil.rmtree(self.directory)

    def clients(self):
        """How many scans are waiting for it."""
        count = 0
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):  # it has ended
                words = path.read_bytes().split(b"\0")
                config = f"--config-file={self._config}".encode()
                count += words[0].endswith(b"clamdscan") and config in words
        return count

    def clean_verdicts(self):
        """How many packages it found clean since it was made."""
        return len(re.findall(": OK$", self.log.read_text(), re.MULTILINE))

    def _answers_or_ended(self):
        if self._process.poll() is not None:
            return True
        with suppress(OSError):
            return self.send("PING") == "PONG"
        return False
