"""What is read of a container whose init process's files are not what they should be."""

import pytest
from docker.errors import APIError

from ci_common.errors import EngineFailingError
from ci_common.ports.workloads import OutputEnd
from ci_controller.executors.docker import kept_output
from ci_controller.executors.docker.kept_output import KeptOutput
from support.simulated_init import KEY, SimulatedInit


class Answer:
    """The engine's refusal."""

    status_code = 500
    reason = "Internal Server Error"
    url = "http://engine"


@pytest.fixture
def init(monkeypatch):
    monkeypatch.setattr(kept_output, "_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(kept_output, "_LONGEST_PAUSE_SECONDS", 0.0)
    return SimulatedInit(b"output\n" * 100, exit_code=7)


def whole(output):
    return b"".join(iter(output.read, b""))


@pytest.mark.parametrize("told", ["too many links in /x/.ci-runner", "open /x: permission denied"])
def test_files_that_can_never_be_read_are_not_waited_for(init, monkeypatch, told):
    """The job moved the directory away, and made a link to itself of the name."""
    init.end(told=False)
    error = APIError("500", Answer(), f"evalSymlinksInScope: {told}")

    def refuse(*arguments, **options):
        raise error

    monkeypatch.setattr(init, "get", refuse)
    output = KeptOutput(init, "container", KEY, 0)
    assert whole(output) == b""
    assert output.end == OutputEnd(0, None, kept_output._KILLED)


def test_what_is_missing_is_replaced_in_pieces(init):
    """However much it is, or is said to be."""
    init.output = bytes(5 << 20)
    init.write(5 << 20)
    init.released = init.written
    init.end(told=False)
    output = KeptOutput(init, "container", KEY, 0)
    pieces = list(iter(output.read, b""))
    assert max(map(len, pieces)) <= 1 << 20
    assert sum(map(len, pieces)) == 5 << 20
    assert output.end == OutputEnd(5 << 20, 5 << 20, "", 7)
    assert pieces[0].startswith(b"\n[... 1048576 bytes of output are missing here")


def test_a_container_that_ends_before_what_came_first_was_read(init):
    """The engine does not answer while somebody is attached who does not read: here it is us."""
    init.output = bytes(range(251)) * 100
    init.write(9000)
    init.writes_on_attach, init.ends_unread = 8000, True
    output = KeptOutput(init, "container", KEY, 0)
    assert whole(output) == init.output[:17000]
    assert output.end == OutputEnd(17000, 0, "", 7)
    assert init.timeout == 60, "patience as before"


@pytest.mark.parametrize(
    ("told", "is_stored"),
    [
        ("chmod /.ci-runner/in/stored-7: no such file or directory", True),
        ("lchown /.ci-runner/in/stored-7: no such file or directory", True),
        ("chmod /.ci-runner/in/stored-70: no such file or directory", False),
        ("open /.ci-runner/in/stored-7: no such file or directory", False),
        ("chmod /.ci-runner/in/stored-7: read-only file system", False),
    ],
)
def test_a_message_that_was_taken_before_the_engine_was_done_with_it(
    init, monkeypatch, told, is_stored
):
    error = APIError("500", Answer(), f"Error processing tar file(exit status 1): {told}")

    def refuse(*arguments, **options):
        raise error

    monkeypatch.setattr(init, "put_archive", refuse)
    output = KeptOutput(init, "container", KEY, 0)
    if is_stored:
        output.stored(7)
    else:
        with pytest.raises(EngineFailingError):
            output.stored(7)
