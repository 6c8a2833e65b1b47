"""Ctrl-C and SIGTERM while the command's modules are imported. Python ignores exceptions in some
callbacks, such as those of the import system, so what a signal raised there is raised again.
"""

import signal
import sys
from types import FrameType
from typing import NoReturn

_received: int | None = None


def take_signals() -> None:
    """Let them raise KeyboardInterrupt and SystemExit, so that temporary files are removed on the
    way out.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # it may be ignored
        signal.signal(signal.SIGINT, _handle)
    signal.signal(signal.SIGTERM, _handle)
    sys.unraisablehook = _tell_of_others


def raise_what_was_lost() -> None:
    """Raise again if a signal was received and the process is still running."""
    if _received is not None:
        _raise(_received)


def _handle(signum: int, frame: FrameType | None) -> NoReturn:
    global _received
    _received = signum
    _raise(signum)


def _raise(signum: int) -> NoReturn:
    if signum == signal.SIGTERM:
        sys.exit(143)
    raise KeyboardInterrupt


def _tell_of_others(ignored: "sys.UnraisableHookArgs") -> None:
    if not isinstance(ignored.exc_value, KeyboardInterrupt | SystemExit):
        sys.__unraisablehook__(ignored)
