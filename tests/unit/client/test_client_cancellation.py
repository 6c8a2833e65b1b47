"""A request to cancel a job that is answered late, or by nobody: after the job's end."""

import signal
import threading

import pytest
from client_scripted_server import COMPLETE, JOB

from ci_client.command.submitting import ProjectSending, Submission
from ci_client.errors import ServerUnreachable


class Client:
    """Watches a job that ends just when a signal asks for its cancellation, which comes to nothing
    when the connection is closed.
    """

    server_option = ""

    def __init__(self, failure):
        self.failure = failure
        self.closed = threading.Event()
        self.cancelling = threading.Event()
        self.thread = None

    def follow(self, job_id, *, from_beginning):
        signal.raise_signal(signal.SIGTERM)
        assert self.cancelling.wait(60)
        yield dict(COMPLETE)

    def cancel_job(self, job_id):
        self.thread = threading.current_thread()
        self.cancelling.set()
        assert self.closed.wait(60)
        raise self.failure

    def close(self):
        self.closed.set()
        self.thread.join()


@pytest.mark.parametrize(
    "failure",
    [
        ServerUnreachable("http://ci.example.com", "connection reset"),
        RuntimeError("Cannot send a request, as the client has been closed."),
    ],
    ids=["cut off", "closed"],
)
def test_a_cancellation_that_fails_when_the_job_has_ended_interrupts_nothing(
    tmp_path, monkeypatch, failure
):
    late, unhandled = [], []
    monkeypatch.setattr(threading, "excepthook", unhandled.append)
    before = {
        number: signal.signal(number, lambda signum, frame: late.append(signum))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        client = Client(failure)
        sending = ProjectSending(client, Submission(str(tmp_path), request=None))
        code = sending._follow(lambda: JOB)
        client.close()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert (code, late, unhandled) == (143, [], [])
