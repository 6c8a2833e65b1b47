"""A server of our own, for `ci run`: a child process that ends, and removes everything, with us.

The child notices our end by its stdin, a pipe whose other end is ours alone. So nothing is left
when we are killed, either. docs/decisions/0046 says why it is made like this.
"""

import json
import os
import secrets
import select
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Self, cast

from ci_client.command.display import say
from ci_client.errors import LocalServerError, UsageError
from ci_common.installation import install_command, is_installed

_START_SECONDS = 120.0
_STOP_SECONDS = 60.0
_LOG = "server.log"
_TAIL_LINES = 12
_NOT_INSTALLED = 2
_COMPLAINT = "ci_server: "
"""How the line begins in which a server says that it does not understand its settings."""

_NEEDED = ("aiosqlite", "docker", "fastapi", "pydantic_settings", "uvicorn")
"""Some of what the extra brings. The server itself says it of the rest."""

_KEPT = frozenset(
    {
        *("CI_IMAGE", "CI_DOCKER_NETWORK", "CI_DOCKER_RUNTIME", "CI_LOG_LEVEL"),
        *("CI_SETUP_TIMEOUT_SECONDS", "CI_SETUP_ENV", "CI_DEPS_CACHE_MB", "CI_DEPS_CACHE_DIR"),
        *("CI_DEFAULT_TIMEOUT_SECONDS", "CI_DEFAULT_MEMORY_MB", "CI_DEFAULT_CPU_PERCENT"),
        *("CI_DEFAULT_PIDS", "CI_DEFAULT_LOG_MB", "CI_CANCEL_GRACE_SECONDS"),
        *("CI_MAX_TIMEOUT_SECONDS", "CI_MAX_MEMORY_MB", "CI_MAX_CPU_PERCENT", "CI_MAX_PIDS"),
        *("CI_MAX_WORK_MB", "CI_MAX_ARTIFACTS_MB", "CI_MAX_ARTIFACTS", "CI_MAX_UPLOAD_MB"),
        *("CI_MAX_UNPACKED_MB", "CI_MAX_COMPRESSION_RATIO", "CI_MAX_ENTRIES"),
        *("CI_MIN_FREE_DISK_MB", "CI_DISK_RESERVE_MB"),
    }
)
"""Settings that say how jobs run. Others, such as those of identities or of another database, are
about a server that may happen to be configured in the same shell. Jobs are always in containers: on
this machine's own system they would do what tests do, with all that the user may do.
"""


class LocalServer:
    """A server on a free port of this machine, with a key that only we have. Use it in a `with`
    statement.
    """

    url = ""
    api_key = ""
    jobs_run_in = ""
    """In a line for people: the engine, and whether it has the image of jobs that name none."""

    def __init__(self) -> None:
        """Raises UsageError where no server can be."""
        if os.name != "posix":
            raise UsageError(
                "ci run starts a server on this machine, and servers do not run on Windows: use "
                "WSL, or `ci submit` with a remote server."
            )
        if not all(map(is_installed, _NEEDED)):
            raise UsageError(
                "ci run starts a server, which is not part of this installation. Install it with: "
                f"{install_command('server')}"
            )
        self._prefix = f"ci-run-{secrets.token_hex(4)}-"
        """Of the names of its containers."""
        self._directory = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._is_left = False

    def __enter__(self) -> Self:
        """Start it, and wait until it serves. Raises LocalServerError, UsageError."""
        try:
            self._directory = tempfile.mkdtemp(prefix="ci-run-")
            self._process = self._start()
            self._read_answer(self._process)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()

    def leave(self) -> None:
        """Do not wait for its end: what has to be removed it removes by itself."""
        self._is_left = True

    def lost(self) -> LocalServerError:
        """The error when it does not answer any more."""
        return LocalServerError(f"The local server stopped responding.{self._tail()}")

    def _start(self) -> "subprocess.Popen[bytes]":
        with open(os.path.join(self._directory, _LOG), "wb") as log:
            return subprocess.Popen(
                # Without -P Python would look for modules in the project first.
                [sys.executable, "-P", "-m", "ci_server", "--ephemeral"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=self._environment(),
                start_new_session=True,  # Ctrl-C is for us
            )

    def _environment(self) -> dict[str, str]:
        named = {name: value for name, value in os.environ.items() if _is_passed_on(name)}
        # One user's jobs need not be kept from each other, as on a local server without users.
        named.setdefault("CI_DOCKER_NETWORK", "bridge")
        if (cache := _cache_directory()) is not None:
            named.setdefault("CI_DEPS_CACHE_DIR", cache)
        return {
            **named,
            "CI_CONTAINER_PREFIX": self._prefix,
            "CI_DB_PATH": os.path.join(self._directory, "ci.db"),
            "CI_NOTIFICATIONS": "false",
            "TMPDIR": self._directory,
        }

    def _read_answer(self, process: "subprocess.Popen[bytes]") -> None:
        answers = cast(IO[bytes], process.stdout)
        deadline, line = time.monotonic() + _START_SECONDS, b""
        while not line.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([answers], [], [], left)[0]:
                raise LocalServerError(
                    f"The local server did not start in {_START_SECONDS:g} s.{self._tail()}"
                )
            if not (part := os.read(answers.fileno(), 65536)):
                raise self._failure(process)
            line += part
        told = json.loads(line)
        if "error" in told:
            raise LocalServerError(f"The local server did not start: {told['error']}")
        self.url, self.api_key = told["server"], told["api_key"]
        self.jobs_run_in = told["jobs_run_in"]

    def _failure(self, process: "subprocess.Popen[bytes]") -> LocalServerError | UsageError:
        code, tail = process.wait(), self._tail()
        is_usage = code == _NOT_INSTALLED or f"\n{_COMPLAINT}" in tail
        kind = UsageError if is_usage else LocalServerError
        return kind(f"The local server did not start (exit code {code}).{tail}")

    def _tail(self) -> str:
        try:
            text = Path(self._directory, _LOG).read_text(errors="replace")
        except OSError:
            return ""
        lines = text.splitlines()[-_TAIL_LINES:]
        return "\n".join([" The end of its log:", *lines]) if lines else ""

    def _stop(self) -> None:
        process = self._process
        if process is not None and not self._ends(process):
            return  # it removes the directory, too
        if self._directory:
            shutil.rmtree(self._directory, ignore_errors=True)

    def _ends(self, process: "subprocess.Popen[bytes]") -> bool:
        """Let it end; whether it has."""
        was_running = process.poll() is None
        for pipe in (process.stdin, process.stdout):
            cast(IO[bytes], pipe).close()
        if self._is_left and was_running:
            return False
        try:
            code = process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            say(
                "The local server is still stopping the job; it removes everything when that is "
                "done."
            )
            return False
        if self.url and code != 0:
            self._remove_what_it_left(code)
        return True

    def _remove_what_it_left(self, code: int) -> None:
        """Have another process do what the server was to do at its end."""
        say(f"The local server was killed (exit code {code}). Removing what it left behind.")
        try:
            another = self._start()
            another.communicate(timeout=_STOP_SECONDS)
            is_done = another.returncode == 0
        except (OSError, subprocess.TimeoutExpired):
            is_done = False
        if not is_done:
            say(
                "Warning: some containers may be left. Remove them with: docker rm -f $(docker "
                f"ps -aq --filter name={self._prefix})"
            )


def _is_passed_on(name: str) -> bool:
    return not name.startswith("CI_") or name in _KEPT


def _cache_directory() -> str | None:
    """Where this user's local servers share what they install, unless it cannot be made."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    path = os.path.join(home, "ci-runner")
    if not os.path.isabs(path):
        return None
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
        status = os.stat(path)
    except OSError:
        return None  # installations are then not kept
    # The server would refuse one that others may write to, and not start.
    return path if status.st_uid == os.geteuid() and not status.st_mode & 0o022 else None
