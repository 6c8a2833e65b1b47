"""From a fresh clone to the live log of a job, and back to a clean machine."""

import argparse
import os
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from setup_steps import container_engine, leftovers, process_jobs, runner_image, server, venv
from setup_steps.console import SetupError, say
from setup_steps.paths import EXAMPLES, VENV_BIN

NOT_ISOLATED = """
WARNING: no container engine can be had, so the job runs as a plain process of this machine.
It is NOT isolated: it can read and use whatever its user can. Submit only code you trust.
The reason: """

NEXT = """
What to type next:
  {activate}
  python -m ci_server                  # a server of your own; keep it running
  ci submit --path YOUR_PROJECT        # in another terminal; add --async to come back later
  ci wait JOB_ID --all                 # watch a job from its first line, from anywhere
  ci open JOB_ID                       # its page in the browser; all jobs: http://127.0.0.1:8000/
  ci list
"""


_JOB_RAN = frozenset({0, 1, 5})
"""Exit codes of ci-submit that tell of a job: passed, failed, timed out."""


class Terminated(KeyboardInterrupt):
    """SIGTERM: stop as on Ctrl-C."""


def arguments() -> argparse.ArgumentParser:
    """The command line of `scripts/quickstart`."""
    parser = argparse.ArgumentParser(
        prog="scripts/quickstart",
        description="Set everything up, start a server, run an example's tests in a container, "
        "and show their log live. Exits with the job's exit code.",
    )
    parser.add_argument(
        "--path",
        type=Path,
        default=EXAMPLES / "calculator",
        metavar="DIR",
        help="the project to submit (default: examples/calculator)",
    )
    parser.add_argument(
        "--no-install", action="store_true", help="install and start nothing outside this clone"
    )
    parser.add_argument(
        "--serve", action="store_true", help="keep serving after the job, until Ctrl-C"
    )
    parser.add_argument(
        "--keep", action="store_true", help="keep the database and the log, and say where they are"
    )
    return parser


def run(options: argparse.Namespace) -> int:
    """Everything after the virtual environment; the job's exit code."""
    if not options.path.is_dir():
        raise SetupError(f"{options.path} is not a directory; --path names the project to submit.")
    signal.signal(signal.SIGTERM, _stop_on_terminate)
    executor = _choose_executor(install=not options.no_install)
    with (
        _work_directory(keep=options.keep) as directory,
        _leaving_nothing(directory, executor, keep=options.keep),
        _python(executor) as python,
        server.running(directory, executor, python) as running,
    ):
        code = _submit(options.path, running.url)
        if code in _JOB_RAN:
            _say_what_next()
        if options.serve:
            _serve(running)
    return code


def _choose_executor(*, install: bool) -> str:
    """`docker`, or `process` where there is no engine: said loudly, never silently."""
    if wanted := os.environ.get("CI_EXECUTOR"):
        return wanted
    try:
        container_engine.ensure(install=install)
    except SetupError as error:
        say(f"{NOT_ISOLATED}{error}\n")
        return "process"
    client = container_engine.connect()
    runner_image.ensure(client, os.environ.get("CI_IMAGE") or runner_image.DEFAULT_NAME)
    client.close()
    return "docker"


def _python(executor: str) -> AbstractContextManager[Path]:
    return process_jobs.python() if executor == "process" else nullcontext(venv.PYTHON)


def _submit(path: Path, url: str) -> int:
    """Run the client as a user would; its log goes to our stdout, its words to our stderr."""
    command = [str(VENV_BIN / "ci-submit"), "--path", str(path), "--server", url]
    say(f"==> {shlex.join(['ci-submit', *command[1:]])}")
    environment = {**venv.child_environment(), "no_proxy": server.HOST, "NO_PROXY": server.HOST}
    environment.pop("CI_API_KEY", None)  # of another server; this one has no users
    with subprocess.Popen(command, env=environment) as client:
        try:
            return client.wait()
        except KeyboardInterrupt as interrupt:
            _let_it_cancel(client, signalled=not isinstance(interrupt, Terminated))
            raise


def _let_it_cancel(client: subprocess.Popen[bytes], *, signalled: bool) -> None:
    """Ctrl-C reaches the client by itself, SIGTERM does not; on either it cancels its job."""
    if not signalled:
        client.send_signal(signal.SIGINT)
    try:
        client.wait(server.STOP_SECONDS)
    except subprocess.TimeoutExpired:
        client.kill()


def _say_what_next() -> None:
    say(NEXT.format(activate=f". {shlex.quote(str(VENV_BIN / 'activate'))}"))


def _serve(running: server.Server) -> None:
    say(f"==> Serving at {running.url} until Ctrl-C (CI_SERVER_URL={running.url})")
    try:
        running.process.wait()
    except KeyboardInterrupt:
        return
    raise SetupError(f"The server ended by itself:\n{running.log_tail()}")


@contextmanager
def _work_directory(*, keep: bool) -> Iterator[Path]:
    if keep:
        directory = Path(tempfile.mkdtemp(prefix="ci-quickstart-"))
        say(f"    database and server log stay in {directory}")
        yield directory
        return
    with tempfile.TemporaryDirectory(prefix="ci-quickstart-") as name:
        yield Path(name)


@contextmanager
def _leaving_nothing(directory: Path, executor: str, *, keep: bool) -> Iterator[None]:
    try:
        yield
    finally:
        if executor == "docker" and not keep:
            leftovers.remove(server.database(directory))


def _stop_on_terminate(_signal: int, _frame: object) -> None:
    raise Terminated
