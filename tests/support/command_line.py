"""The real commands `ci` and `ci-submit`, as processes."""

import fcntl
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.live_server import ROOT
from support.waiting import until_sync

SECONDS = 60

_JOB_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def command(name="ci"):
    """How to start a command: the installed one where there is one."""
    installed = Path(sys.executable).with_name(name)
    if installed.exists():
        return [str(installed)]
    function = "submit_main" if name == "ci-submit" else "main"
    return [sys.executable, "-c", f"from ci_client.cli import {function}; {function}()"]


def environment(server_url, **more):
    """Of a user who has set nothing but the server's address."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("CI_") and name not in ("NO_COLOR", "FORCE_COLOR")
    }
    own = {"PYTHONPATH": str(ROOT), "CI_SERVER_URL": server_url, "NO_PROXY": "127.0.0.1"}
    return {**kept, **own, **more}


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: bytes
    err: str

    @property
    def text(self):
        return self.out.decode()

    @property
    def job_id(self):
        return job_id_in(self.err)


def job_id_in(text):
    """The first job id in a text."""
    found = _JOB_ID.search(text)
    assert found, text
    return found[0]


class CommandLine:
    """Starts commands for one user, in one directory, with one server."""

    def __init__(self, server_url, directory):
        self.server_url = server_url
        self.directory = Path(directory)
        self._running = []

    def run(self, *arguments, name="ci", cwd=None, stdin=b"", **more):
        """Run a command to its end, with pipes; the first of them has `stdin` in it."""
        done = subprocess.run(
            [*command(name), *map(str, arguments)],
            cwd=cwd or self.directory,
            env=environment(self.server_url, **more),
            input=stdin,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
        return _checked(Done(done.returncode, done.stdout, done.stderr.decode()))

    def start(self, *arguments, name="ci"):
        """Start a command in the background, its output going to files."""
        argv = [*command(name), *map(str, arguments)]
        return self._keep(RunningCommand(argv, self.directory, environment(self.server_url)))

    def curl(self, *arguments):
        """Start curl in the background."""
        argv = ["curl", "-sSN", "--noproxy", "*", *map(str, arguments)]
        return self._keep(RunningCommand(argv, self.directory, environment(self.server_url)))

    def on_terminal(self, *arguments, name="ci", columns=80, stdout=None, **more):
        """Start a command on a terminal of its own, or with the file `stdout` for its output."""
        argv = [*command(name), *map(str, arguments)]
        of_terminal = {"TERM": "xterm-256color", "COLUMNS": str(columns), "LINES": "24"}
        variables = environment(self.server_url, **of_terminal | more)
        return self._keep(OnTerminal(argv, self.directory, variables, columns, stdout))

    def close(self):
        for running in self._running:
            running.kill()

    def _keep(self, running):
        self._running.append(running)
        return running


class RunningCommand:
    """A command in the background."""

    def __init__(self, argv, directory, environment):
        self._files = [
            (directory / f"{kind}-{os.urandom(6).hex()}").open("w+b") for kind in ("out", "err")
        ]
        self._paths = [Path(file.name) for file in self._files]
        self.process = subprocess.Popen(
            argv,
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=self._files[0],
            stderr=self._files[1],
            # Where the tests run in the background, SIGINT is ignored, which is inherited.
            preexec_fn=_heed_interrupts,
        )
        for file in self._files:
            file.close()

    @property
    def out(self):
        return self._paths[0].read_bytes()

    @property
    def err(self):
        return self._paths[1].read_text()

    @property
    def job_id(self):
        """The job's id, once it was told."""
        self.until(lambda: _JOB_ID.search(self.err), "a job id on stderr")
        return job_id_in(self.err)

    def until_out(self, content):
        """Wait until stdout has these bytes."""
        self.until(lambda: content in self.out, f"{content!r} on stdout")

    def until_err(self, content):
        """Wait until stderr has this text."""
        self.until(lambda: content in self.err, f"{content!r} on stderr")

    def until(self, look, what):
        try:
            until_sync(look, what=what, seconds=SECONDS)
        except pytest.fail.Exception as failure:
            said = f"{failure}\nstdout: {self.out[-2000:]!r}\nstderr: {self.err}"
            raise pytest.fail.Exception(said) from None

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)

    def end(self):
        """Wait for its end."""
        try:
            code = self.process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            pytest.fail(f"no end in {SECONDS} s: {self.out[-2000:]!r}\n{self.err}")
        return _checked(Done(code, self.out, self.err))

    def kill(self):
        self.process.kill()
        self.process.wait()


class OnTerminal:
    """A command with a pseudo-terminal for its input and both outputs; or for all but stdout."""

    def __init__(self, argv, directory, environment, columns=80, stdout=None):
        self._master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (24, columns))
        self.shown = b""

        def own_the_terminal():
            _heed_interrupts()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            argv,
            cwd=directory,
            env=environment,
            stdin=slave,
            stdout=stdout or slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=own_the_terminal,
        )
        os.close(slave)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        try:
            while content := os.read(self._master, 65536):
                self.shown += content
        except OSError:
            return  # the other end is closed

    def until_shown(self, content):
        """Wait until the terminal was sent these bytes."""
        until_sync(lambda: content in self.shown, what=f"{content!r} in {self.shown!r}")

    def resize(self, columns):
        """Make the terminal as wide."""
        termios.tcsetwinsize(self._master, (24, columns))

    def press_ctrl_c(self):
        self.type("\x03")

    def type(self, text):
        os.write(self._master, text.encode())

    def end(self):
        """Wait for the end; the exit code and all that was shown."""
        code = self.process.wait(SECONDS)
        self._reader.join(SECONDS)
        text = self.shown.decode()
        assert "Traceback" not in text, text
        return code, text

    def kill(self):
        self.process.kill()
        self.process.wait()
        self._reader.join(SECONDS)
        if self._master >= 0:
            os.close(self._master)
            self._master = -1


def _heed_interrupts():
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _checked(done):
    assert "Traceback" not in done.err, done.err
    return done
