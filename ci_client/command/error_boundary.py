"""From exceptions to messages and exit codes."""

import os
import sys
from contextlib import suppress

from ci_client.command import exit_codes
from ci_client.command.display import say
from ci_client.errors import ClientError


def exit_code_of(error: Exception) -> int:
    """Say on stderr what went wrong; the exit code."""
    if isinstance(error, ClientError):
        say(f"Error: {error.message}")
        return exit_codes.of_error(error)
    _silence()
    if isinstance(error, BrokenPipeError):
        return exit_codes.BROKEN_PIPE
    say(
        f"Error: {type(error).__name__}: {error}. "
        "This looks like a bug in ci, or a problem on this machine."
    )
    return exit_codes.INFRASTRUCTURE


def _silence() -> None:
    """Let what is still buffered for stdout go nowhere, instead of failing once more at exit."""
    with suppress(OSError, ValueError):  # where stdout is no file, there is nothing to do
        descriptor = sys.stdout.fileno()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, descriptor)
        os.close(nowhere)
