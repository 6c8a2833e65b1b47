"""The cancellation of a job whose log is being watched: beside it, on a thread."""

import threading

from ci_client.client import Client
from ci_client.command.interruption import interrupt_main_thread
from ci_client.command.terminal_line import say_at_once
from ci_client.errors import ClientError, JobFinished


class Cancellation:
    """One request to cancel a job. The log goes on, and with it the job's clean-up is seen."""

    def __init__(self, client: Client, job_id: str) -> None:
        self._client = client
        self._job_id = job_id
        self._thread: threading.Thread | None = None
        self._failure: ClientError | None = None
        self._is_answered = False
        self._is_over = False
        self._turn = threading.Lock()
        """Guards `_is_over`, and interrupting the main thread, which must not follow it. Not taken
        in `start`, which runs in a signal handler.
        """

    def start(self) -> None:
        """Ask for it, and return at once. If it fails, the main thread is interrupted."""
        if self._thread is None and not self._is_over:
            say_at_once(
                "Interrupted: cancelling the job and waiting for it to end (Ctrl-C again to quit)"
            )
            # A daemon, which a second Ctrl-C does not wait for.
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()

    def finish(self) -> None:
        """The job is no longer watched, and the connection may be closed: send no more requests,
        and interrupt the main thread for no failure.
        """
        with self._turn:
            self._is_over = True

    @property
    def why_not(self) -> str | None:
        """Why it may not be cancelled, as ` (WHY)`; `None` when it is."""
        if self._is_answered and self._failure is None:
            return None
        return f" ({self._failure})" if self._failure else ""

    def _run(self) -> None:
        try:
            self._client.cancel_job(self._job_id)
        except JobFinished:  # which its event is about to tell
            pass
        except ClientError as error:
            self._fail(error)
        except RuntimeError:  # httpx's, for a connection that was closed
            if not self._is_over:
                raise
        self._is_answered = True

    def _fail(self, error: ClientError) -> None:
        with self._turn:
            self._failure = error
            if not self._is_over:
                interrupt_main_thread()
