"""How a coroutine that was cancelled ends what it waits for on another thread."""

import threading


class InterruptedWorkError(Exception):
    """The work was ended in the midst. Nobody waits for its result any more."""


class Interruption:
    """Asked for on one thread, noticed on another one."""

    def __init__(self) -> None:
        self._asked = threading.Event()

    @property
    def is_asked(self) -> bool:
        """Whether the work is to end."""
        return self._asked.is_set()

    def ask(self) -> None:
        """Have the work end soon; safe to repeat."""
        self._asked.set()

    def check(self) -> None:
        """To be called by the work now and then. Raises InterruptedWorkError."""
        if self._asked.is_set():
            raise InterruptedWorkError
