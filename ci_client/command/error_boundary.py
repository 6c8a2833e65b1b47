"""From exceptions to messages and exit codes."""

import errno
import sys

from ci_client.command import exit_codes
from ci_client.command.display import discard, say
from ci_client.errors import ClientError

_OF_OUTPUT = frozenset({errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EIO})


def exit_code_of(error: Exception) -> int:
    """Say on stderr what went wrong; the exit code."""
    if isinstance(error, ClientError):
        say(f"Error: {error.message}")
        return exit_codes.of_error(error)
    discard(sys.stdout)
    if isinstance(error, BrokenPipeError):
        return exit_codes.BROKEN_PIPE
    if isinstance(error, OSError) and error.errno in _OF_OUTPUT and error.filename is None:
        say(f"Error: Cannot write to stdout: {error.strerror}.")
    else:
        say(
            f"Error: {type(error).__name__}: {error}. "
            "This looks like a bug in ci, or a problem on this machine."
        )
    return exit_codes.INFRASTRUCTURE
