"""What the scripts say: short lines on stderr, and noise only when a step fails."""

import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO

TAIL_LINES = 40


class SetupError(Exception):
    """A step failed. The message says what happened, what it means, and what to do."""


def say(text: str) -> None:
    """Print one line to stderr at once."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def step(title: str) -> Iterator[None]:
    """Announce a step, and the seconds it took when it went well."""
    say(f"==> {title}")
    start = time.monotonic()
    yield
    say(f"    done in {time.monotonic() - start:.1f} s")


def tail(stream: IO[str], lines: int = TAIL_LINES) -> str:
    """The last lines of a readable stream, from its beginning."""
    stream.seek(0)
    return "".join(deque(stream, maxlen=lines)).rstrip()


def run_quietly(argv: Sequence[str], *, failure: str, env: Mapping[str, str] | None = None) -> None:
    """Run a command with its output hidden; when it fails, raise with the end of that output.

    Raises:
        SetupError: the command failed or is not there; the message starts with `failure`.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        try:
            code = subprocess.run(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, check=False
            ).returncode
        except OSError as error:
            raise SetupError(f"{failure}\n{argv[0]} could not be started: {error}") from error
        if code != 0:
            raise SetupError(f"{failure}\n`{' '.join(argv)}` ended with {code}:\n{tail(log)}")


def run_main(main: Callable[[], int]) -> int:
    """Run a script's body; a failed step becomes a message and exit code 3, never a traceback."""
    try:
        return main()
    except SetupError as error:
        say(f"\nerror: {error}")
        return 3
    except KeyboardInterrupt:
        say("\ninterrupted")
        return 130
