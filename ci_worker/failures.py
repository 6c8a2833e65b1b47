"""What goes wrong, as users see it: `Error: …`, or an object of JSON."""

import json
import os
import sys
from collections.abc import Callable

FAILED = 1
_BROKEN_PIPE = 141


class CommandError(Exception):
    """A command cannot be carried out; the message says what to do. `code` is a name of gRPC's."""

    def __init__(self, message: str, code: str = "INVALID_ARGUMENT") -> None:
        super().__init__(message)
        self.code = code


def guarded(command: Callable[[], None], *, as_json: bool) -> int:
    """Carry out a command; its exit code."""
    try:
        command()
    except CommandError as error:
        _report(error.code, str(error), as_json)
        return FAILED
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
