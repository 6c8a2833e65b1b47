"""Ctrl-C and SIGTERM while a project is sent and its job is watched."""

import _thread
import signal
import threading
from collections.abc import Callable
from enum import Enum, auto
from types import FrameType, TracebackType

from ci_client.command import exit_codes
from ci_client.command.early_signals import raise_what_was_lost
from ci_client.command.terminal_line import say_at_once


class _Phase(Enum):
    RAISE = auto()
    """A signal ends what is going on, as a KeyboardInterrupt."""
    HOLD = auto()
    """The first one is kept."""
    CALL = auto()
    """The first one starts something, and what is going on goes on."""


class Interruption:
    """What signals do until the end of the block. Whatever the phase, a second one ends it all.

    Once everything is uploaded the job may exist although its id is not known here yet. To stop
    then would leave a job running that nobody asked for; with the id, it can be cancelled.
    """

    def __init__(self) -> None:
        self._phase = _Phase.RAISE
        self._call: Callable[[], None] = _nothing
        self._received: int | None = None
        self._previous: dict[int, object] = {}

    @property
    def is_pending(self) -> bool:
        """Whether a signal came."""
        return self._received is not None

    @property
    def exit_code(self) -> int:
        """That of the signal which came first."""
        is_sigterm = self._received == signal.SIGTERM
        return exit_codes.TERMINATED if is_sigterm else exit_codes.INTERRUPTED

    def hold(self) -> None:
        """From now on, keep the first signal."""
        self._phase = _Phase.HOLD

    def release(self) -> None:
        """From now on a signal raises KeyboardInterrupt; one that was kept does so now."""
        was_held, self._phase = self._phase is _Phase.HOLD, _Phase.RAISE
        if was_held and self.is_pending:
            raise KeyboardInterrupt

    def on_first(self, call: Callable[[], None]) -> None:
        """From now on the first signal makes this call, which returns at once; one that was kept
        makes it now.
        """
        self._phase, self._call = _Phase.CALL, call
        if self.is_pending:
            call()

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        raise_what_was_lost()
        for number in (signal.SIGINT, signal.SIGTERM):
            before = signal.getsignal(number)
            if before not in (signal.SIG_IGN, None):  # whoever started us wants it ignored
                self._previous[number] = before
                signal.signal(number, self._handle)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, before in self._previous.items():
            signal.signal(number, before)  # type: ignore[arg-type]

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        is_first, phase = not self.is_pending, self._phase
        if is_first:
            self._received = signum
        if phase is _Phase.RAISE or not is_first:
            raise KeyboardInterrupt
        if phase is _Phase.CALL:
            self._call()
            return
        say_at_once("Interrupted: waiting for the job's id to cancel it (Ctrl-C again to quit)")


def interrupt_main_thread() -> None:
    """Let a KeyboardInterrupt end whatever the main thread waits for."""
    main = threading.main_thread().ident
    if main is not None and hasattr(signal, "pthread_kill"):
        signal.pthread_kill(main, signal.SIGINT)
    else:
        _thread.interrupt_main()


def _nothing() -> None:
    pass
