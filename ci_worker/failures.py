"""What goes wrong, as users see it: `Error: …`, or an object of JSON."""

import json
import os
import sys
from collections.abc import Callable

FAILED = 1
NOT_INSTALLED = 2
_BROKEN_PIPE = 141


class CommandError(Exception):
    """A command cannot be carried out; the message says what to do. `code` is a name of gRPC's."""

    exit_code = FAILED

    def __init__(self, message: str, code: str = "INVALID_ARGUMENT") -> None:
        super().__init__(message)
        self.code = code


class NotInstalledError(CommandError):
    """A library is missing; the message says how to install it."""

    exit_code = NOT_INSTALLED


def guarded(command: Callable[[], None], *, as_json: bool) -> int:
    """Carry out a command; its exit code."""
    try:
        command()
    except CommandError as error:
        _report(error.code, str(error), as_json)
        return error.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE
    except Exception as error:  # noqa: BLE001 - no traceback, ever
        _report("INTERNAL", f"{type(error).__name__}: {error}", as_json)
        return FAILED
    return 0


def _report(code: str, message: str, as_json: bool) -> None:
    body = json.dumps({"code": code, "message": message, "details": []}, ensure_ascii=False)
    print(body if as_json else f"Error: {message}", file=sys.stderr)
