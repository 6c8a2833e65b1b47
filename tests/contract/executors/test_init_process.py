"""The init process of containers (ci_init.c) by itself: PID 1 of a namespace of the test's own."""

import errno
import os
import shutil
import signal
import stat
import subprocess
import threading
from pathlib import Path

import pytest

from ci_controller.executors.docker.keeper import protocol
from ci_controller.executors.docker.keeper.protocol import FrameKind, FrameParser, Phase
from support.waiting import until_sync

KEY = bytes(range(100, 116))
SLOTS, SLOT_BYTES = 4, 1 << 20
CAPACITY = SLOTS * SLOT_BYTES
RESERVE = 1 << 20
"""The largest pipe that an unprivileged process can make of its output."""


class Init:
    """One init process and its directory; its stdout is read unless the test holds it up."""

    def __init__(self, path, slot_bytes=SLOT_BYTES, user=0):
        self.path = path / "ci"
        self.path.mkdir()
        self.path.chmod(0o700)
        (self.path / "in").mkdir()
        processor = os.uname().machine
        self.program = self.path / "ci-init"
        self.program.write_bytes(protocol.binary(processor))
        self.program.chmod(0o755)
        self.configure(slot_bytes, user)
        self.frames = []
        self.read_on = threading.Event()
        self.read_on.set()
        self._parser = FrameParser(KEY)

    def configure(self, slot_bytes=SLOT_BYTES, user=0, terminal=False):
        numbers = (user, user, SLOTS, slot_bytes, terminal)
        config = b"%s 1 %d %d %d %d %d\n" % (KEY.hex().encode(), *numbers)
        (self.path / "config").write_bytes(config)

    def start(self, *command, within=()):
        """`within` is a program that becomes the init process."""
        own_tree = ("unshare", "--pid", "--mount", "--fork", "--kill-child")
        self.process = subprocess.Popen(
            [*own_tree, *within, str(self.program), *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def python(self, source):
        return self.start("python3", "-c", source)

    def _read(self):
        while True:
            self.read_on.wait()
            content = os.read(self.process.stdout.fileno(), 1 << 16)
            if not content:
                return
            self.frames += self._parser.feed(content)

    def wait(self):
        code = self.process.wait(30)
        self.read_on.set()
        self._reader.join(30)
        return code

    def close(self):
        self.process.kill()
        self.process.wait()
        self.read_on.set()
        self._reader.join(30)
        self.process.stdout.close()

    @property
    def pid(self):
        """Of the init process, as we see it."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return int(until_sync(lambda: children.read_text().split(), what="the init process")[0])

    @property
    def state(self):
        return self.until_state(bool)

    def until_state(self, good):
        """The state once it is good."""

        def look():
            file = self.path / "state"
            return protocol.parse_state(file.read_bytes()) if file.exists() else None

        return until_sync(look, lambda state: state is not None and good(state), "the state")

    def until_more_than(self, offset):
        """The state once more was written, or all."""
        return self.until_state(lambda it: it.written > offset or it.phase is Phase.ENDED)

    @property
    def framed(self):
        return b"".join(one.payload for one in self.frames if one.kind is FrameKind.DATA)

    def spooled(self, start, stop, slot_bytes=SLOT_BYTES):
        """Bytes of the spool."""
        content = b""
        while start < stop:
            within = start % slot_bytes
            size = min(stop - start, slot_bytes - within)
            slot = self.path / "spool" / f"{start // slot_bytes % SLOTS:02d}"
            content += slot.read_bytes()[within : within + size]
            start += size
        return content

    def say_stored(self, offset):
        (self.path / "in" / f"stored-{offset}").touch()


@pytest.fixture
def init(tmp_path):
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("to make a PID namespace takes root, and unshare")
    init = Init(tmp_path)
    yield init
    if hasattr(init, "process"):
        init.close()


def test_it_is_for_pid_1_only(init):
    """It kills all processes that it sees."""
    assert subprocess.run([init.program, "true"], check=False).returncode == 125


@pytest.mark.parametrize("code", [0, 3, 255])
def test_output_in_frames_and_in_the_spool_and_the_end(init, code):
    source = (
        f"import os; os.write(1, b'caf\\xe9'); os.write(2, bytes(range(256))); os._exit({code})"
    )
    assert init.python(source).wait() == code
    output = b"caf\xe9" + bytes(range(256))
    assert init.framed == init.spooled(0, len(output)) == output
    assert init.frames[-1].kind is FrameKind.END
    assert init.frames[-1].offset == len(output)
    assert protocol.parse_end(init.frames[-1].payload) == protocol.End(code, 0)
    state = init.state
    assert (state.phase, state.written, state.exit_code) == (Phase.ENDED, len(output), code)


def test_a_command_that_dies_of_a_signal(init):
    assert init.start("sh", "-c", "printf dying; kill -9 $$").wait() == 137
    assert init.framed == b"dying"


def test_a_command_that_is_not_there(init):
    assert init.start("/no/such/command").wait() == 127
    assert b"/no/such/command" in init.framed


def test_reopening_stderr_does_not_truncate(init):
    script = "printf one; printf two > /dev/stderr; printf three > /dev/stdout; printf four >&2"
    assert init.start("sh", "-c", script).wait() == 0
    assert init.framed == b"onetwothreefour"


def test_daemons_end_with_the_command_and_their_output_is_whole(init):
    source = (
        "import os, sys\n"
        "r, w = os.pipe()\n"
        "if os.fork() == 0:\n"
        "  os.setsid()\n"
        "  if os.fork(): os._exit(0)\n"
        "  n = 0\n"
        "  while True:\n"
        "    os.write(1, b'%d\\n' % n); n += 1\n"
        "    if n == 1000: os.write(w, b'x')\n"
        "os.read(r, 1)\n"
    )
    assert init.python(source).wait() == 0
    lines = init.framed.split(b"\n")
    assert len(lines) > 1000
    assert lines[:-1] == [b"%d" % number for number in range(len(lines) - 1)]
    assert lines[-1] == b""


def test_a_command_that_closes_its_output_goes_on(init):
    source = (
        "import os, time; os.write(1, b'before'); os.close(1); os.close(2); time.sleep(0.2); "
        "os._exit(4)"
    )
    assert init.python(source).wait() == 4
    assert init.framed == b"before"


PATTERN = bytes(range(251)) * 4000
"""No divisor of a slot's length."""

WRITE_PATTERN = (
    "import os\n"
    "content = memoryview(bytes(range(251)) * 4000)\n"
    "for _ in range({times}):\n"
    "  at = 0\n"
    "  while at < len(content): at += os.write(1, content[at:])\n"
    "os._exit(5)"
)


def test_when_nobody_reads_the_spool_takes_it_and_then_the_command_waits(init):
    init.read_on.clear()
    output = PATTERN * 9
    init.python(WRITE_PATTERN.format(times=9))
    # The rest is reserved for what is in the pipe when the command ends.
    init.until_state(lambda state: state.written > CAPACITY - RESERVE - 4096)
    assert init.state.written <= CAPACITY - RESERVE
    at = 0
    while (state := init.until_more_than(at)).phase is Phase.RUNNING:
        assert state.written - state.released <= CAPACITY
        assert init.spooled(at, state.written) == output[at : state.written]
        at = state.written
        init.say_stored(at)
    assert init.spooled(at, state.written) == output[at:]
    assert state.written == len(output)
    assert init.wait() == 5


def test_who_reads_late_gets_what_is_not_stored(init):
    """Frames begin again where they stopped, or at what was said to be stored."""
    init.read_on.clear()
    init.python(WRITE_PATTERN.format(times=5))
    init.until_state(lambda state: state.written > CAPACITY // 2)
    init.say_stored(CAPACITY // 2)
    init.until_state(lambda state: state.released == CAPACITY // 2)
    init.read_on.set()
    assert init.wait() == 5
    output = PATTERN * 5
    for one in init.frames:
        if one.kind is FrameKind.DATA:
            assert output[one.offset : one.offset + len(one.payload)] == one.payload
    assert init.frames[-1].offset == len(output)


def test_the_end_is_not_held_up_by_who_does_not_read(init):
    init.read_on.clear()
    init.python(WRITE_PATTERN.format(times=2))
    assert init.process.wait(60) == 5
    assert init.state.phase is Phase.ENDED
    assert init.spooled(0, len(PATTERN) * 2) == PATTERN * 2


def test_a_pipe_that_the_command_made_larger_fits_at_the_end(init):
    """It is as full as it can be, and so is the spool, when the command ends by itself."""
    init.read_on.clear()
    least = CAPACITY - RESERVE + (1 << 19)
    source = (
        "import fcntl, os\n"
        "fcntl.fcntl(1, fcntl.F_SETPIPE_SZ, 1 << 20)\n"
        "os.set_blocking(1, False)\n"
        "content, at = memoryview(bytes(range(251)) * 40000), 0\n"
        "import time\n"
        "full = 0\n"
        f"while at <= {least} or full < 50:\n"
        "  try: at += os.write(1, content[at:at + 4096]); full = 0\n"
        "  except BlockingIOError: time.sleep(0.01); full += 1\n"
        f"open({str(init.path / 'count')!r}, 'w').write(str(at))\n"
        "os._exit(0)"
    )
    init.python(source)
    assert init.process.wait(60) == 0
    wrote = int((init.path / "count").read_text())
    state = init.state
    assert wrote > least
    assert (state.written, state.lost) == (wrote, 0)
    assert init.spooled(0, wrote) == (bytes(range(251)) * 40000)[:wrote]


def test_a_pipe_in_packet_mode_loses_nothing_when_the_spool_is_almost_full(init):
    """What does not fit into a read of a packet is discarded."""
    init.read_on.clear()
    source = (
        "import fcntl, os\n"
        "fcntl.fcntl(1, fcntl.F_SETFL, os.O_WRONLY | os.O_DIRECT)\n"
        "content = bytes(range(250)) * 12\n"
        "for _ in range(1500): os.write(1, content)\n"
        "os._exit(0)"
    )
    init.python(source)
    output = bytes(range(250)) * 12 * 1500
    at = 0
    while (state := init.until_more_than(at)).phase is Phase.RUNNING:
        assert init.spooled(at, state.written) == output[at : state.written]
        at = state.written
        if at > CAPACITY - RESERVE - 4096:
            init.say_stored(at)
    assert (state.written, state.lost) == (len(output), 0)
    assert init.spooled(at, state.written) == output[at:]


def test_a_spool_that_came_with_the_image_is_refused(init):
    """It may be the job's."""
    (init.path / "elsewhere").mkdir()
    (init.path / "spool").symlink_to("elsewhere")
    assert init.start("true").wait() == 125
    assert init.frames[-1].kind is FrameKind.REFUSED
    assert list((init.path / "elsewhere").iterdir()) == []


def test_what_is_said_to_be_stored_and_is_not_written_yet_does_not_count(init):
    init.python("import time; print('x', flush=True); time.sleep(60)")
    init.until_state(lambda state: state.written == 2)
    init.say_stored(CAPACITY)
    init.say_stored(1)
    assert init.until_state(lambda state: state.released).released == 1
    assert list((init.path / "in").iterdir()) == []


def test_signals_are_passed_on_to_the_process_group(init):
    init.python(
        "import signal, sys\n"
        "def end(*_): print('got TERM', flush=True); sys.exit(6)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "print('ready', flush=True)\n"
        "signal.pause()"
    )
    init.until_state(lambda state: state.written == 6)
    os.kill(init.pid, signal.SIGTERM)
    assert init.wait() == 6
    assert init.framed == b"ready\ngot TERM\n"


def test_a_command_that_ignores_signals_is_killed_and_its_output_is_whole(init):
    script = 'trap "" TERM INT HUP; i=0; while :; do echo $i; i=$((i+1)); done'
    init.start("sh", "-c", script)
    init.until_state(lambda state: state.written > 1000)
    os.kill(init.pid, signal.SIGTERM)
    os.kill(init.pid, getattr(signal, protocol.KILL_SIGNAL))
    assert init.wait() == 137
    lines = init.framed.split(b"\n")
    assert lines[:-1] == [b"%d" % number for number in range(len(lines) - 1)]
    assert init.state.phase is Phase.ENDED


def test_the_command_may_not_look_at_what_keeps_its_output(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("to start a command as another user takes root")
    os.chmod(tmp_path, 0o755)
    init = Init(tmp_path, user=1000)
    script = (
        f"cat {init.path}/config; echo $?; kill -9 1; echo $?; cat /proc/1/environ; id -u; id -G; "
        "echo through > /dev/stderr; grep CapEff /proc/self/status"
    )
    try:
        assert init.start("sh", "-c", script).wait() == 0
        lines = init.framed.decode().splitlines()
        assert stat.S_IMODE((init.path / "out").stat().st_mode) == 0o666
        assert sum("Permission denied" in line for line in lines) >= 1
        assert lines[-4:] == ["1000", "1000", "through", "CapEff:\t0000000000000000"]
    finally:
        init.close()


def test_without_room_for_the_spool_nothing_is_started(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("to mount a file system takes root")
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", place], check=True)
    init = Init(place)
    try:
        assert init.start("touch", str(tmp_path / "started")).wait() == 125
        assert init.frames[-1].kind is FrameKind.REFUSED
        assert b"No space left on device" in init.frames[-1].payload
        assert (init.state.phase, init.state.refusal) == (Phase.REFUSED, errno.ENOSPC)
        assert not (tmp_path / "started").exists()
    finally:
        init.close()
        subprocess.run(["umount", place], check=True)


def test_a_directory_of_another_user_is_refused(init):
    """One that was in the image, perhaps."""
    os.chown(init.path, 1000, 1000)
    assert init.start("true").wait() == 125
    assert init.frames == []


@pytest.fixture
def on_terminal(init):
    """The same with a command on a pseudo-terminal."""
    init.configure(terminal=True)
    return init


@pytest.mark.parametrize("size", [1, 4097, 13_000, 200_000])
def test_on_a_terminal_the_last_that_a_child_wrote_is_taken(on_terminal, size):
    """More or less than the kernel has in its hands when the command ends."""
    on_terminal.start("sh", "-c", f"head -c {size} /dev/zero | tr '\\0' x; exit 3")
    assert on_terminal.wait() == 3
    assert on_terminal.framed == on_terminal.spooled(0, size) == b"x" * size


def test_a_terminal_that_nobody_reads_waits_when_the_spool_is_full(on_terminal):
    on_terminal.read_on.clear()
    on_terminal.python("import tty; tty.setraw(1)\n" + WRITE_PATTERN.format(times=9))
    output, at = PATTERN * 9, 0
    on_terminal.until_state(lambda state: state.written > CAPACITY - RESERVE - 4096)
    while (state := on_terminal.until_more_than(at)).phase is Phase.RUNNING:
        assert state.written - state.released <= CAPACITY
        assert on_terminal.spooled(at, state.written) == output[at : state.written]
        at = state.written
        on_terminal.say_stored(at)
    assert on_terminal.spooled(at, state.written) == output[at:]
    assert (state.written, state.lost) == (len(output), 0)
    assert on_terminal.wait() == 5


def test_where_no_terminal_can_be_had_nothing_is_started(on_terminal, tmp_path):
    hide = ("sh", "-c", 'mount --bind /dev/null /dev/ptmx && exec "$@"', "sh")
    assert on_terminal.start("touch", str(tmp_path / "started"), within=hide).wait() == 125
    assert on_terminal.frames[-1].kind is FrameKind.REFUSED
    assert b"no pseudo-terminal can be had" in on_terminal.frames[-1].payload
    assert not (tmp_path / "started").exists()


def test_a_signal_on_a_terminal_reaches_the_process_group(on_terminal):
    script = 'trap "echo got TERM; exit 6" TERM; echo ready; while :; do sleep 1; done'
    on_terminal.start("sh", "-c", script)
    on_terminal.until_state(lambda state: state.written == 7)
    os.kill(on_terminal.pid, signal.SIGTERM)
    assert on_terminal.wait() == 6
    assert on_terminal.framed.endswith(b"got TERM\r\n")
