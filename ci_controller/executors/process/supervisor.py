"""Runs one command to its end, keeps what it writes, and records how it ended.

A program of its own (`python -I supervisor.py STATE_DIR`), so that command, output and result
outlive the controller. Standard library only. The state directory, which the command's user may
not enter, contains:

  request.json     input: the command
  supervisor.json  this process
  started.json     the command's process group
  pipe             the FIFO that is the command's stdout and stderr, unless it is on a
                   pseudo-terminal. Not a regular file: a shell's `> /dev/stderr` opens it again,
                   which would truncate that
  spool/NNNN       the output from byte NNNN * SEGMENT_BYTES on, until that much of it is stored.
                   A segment has its full size from the start: `written` says how much is in it
  written          counter: bytes of output so far
  stored           input, counter: bytes of output that the controller will not ask for again
  ended.json       exit code, size of the output, and how many bytes could not be written
  synced           counter: 1 once all of this would survive a power cut
"""

import contextlib
import errno
import fcntl
import json
import os
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

SEGMENT_BYTES = 4 << 20
SEGMENTS = 16
"""When all of them are full and none has been stored, the command waits."""

_PIECE_BYTES = 1 << 18
_PIPE_BYTES = 1 << 18
_RESERVE_BYTES = 1 << 20
"""Disk space reserved for what is in the pipe when the command ends. It is as much as an
unprivileged process can make a pipe hold, by default."""

_PACKET_BYTES = 4096
"""The command may put its pipe into packet mode, in which a read discards what it has no room for
of a packet."""

_FULL_SECONDS = 0.01
_RETRY_SECONDS = 0.1
_DRAIN_SECONDS = 10.0
_TERMINAL_BYTES = 1 << 16
"""More than a pseudo-terminal holds: on Linux 12 KiB."""

_INPUT_SECONDS = 0.1
_KILL_SECONDS = 0.25
_SYNC_AFTER_SECONDS = 1.0
"""Most workloads are removed sooner, and need no sync."""

_COLUMNS, _LINES = 80, 24
_LONGEST_LINE = 65535

_COUNTER = struct.Struct(">QQ")
_ALL_BITS = (1 << 64) - 1
_RECORD_BYTES = 512
_CANNOT_RESERVE = frozenset({errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENODEV})


def main() -> None:
    """Run the command of the state directory named by the only argument."""
    state = Path(sys.argv[1])
    # Before the command starts: whoever removes the directory either stops this program here,
    # or finds what is needed to stop the command.
    write_json(state / "supervisor.json", {"pid": os.getpid(), "start": start_time(os.getpid())})
    request = json.loads((state / "request.json").read_text())
    keeper = _OutputKeeper(state)
    started, ended = _Record(state / "started.json"), _Record(state / "ended.json")
    try:
        if request.get("tty"):
            keeper.source = _Terminal(request)
        process = _start(request, keeper.source)
    except (OSError, subprocess.SubprocessError) as error:
        keeper.pending = f"cannot run {request['command'][0]!r}: {error}\n".encode()
        started.publish({"group": None, "start": "", "at": now()})
        code = 127
    else:
        started.publish({"group": process.pid, "start": start_time(process.pid), "at": now()})
        keeper.follow(process)
        # What it left running ends with it, as in a container.
        _end_group(process.pid)
        code = process.returncode if process.returncode >= 0 else 128 - process.returncode
    ended.publish({"exit_code": code, "at": now(), "boot": boot(), **keeper.drain()})
    _sync_later(state)


def prepare(state: Path) -> None:
    """Create the files in which the supervisor keeps the output, and reserve disk space for those
    it cannot do without, before the command starts. Raises OSError.
    """
    os.mkfifo(state / "pipe")
    (state / "pipe").chmod(0o666)  # the command's user opens it again: `> /dev/stderr`
    (state / "spool").mkdir()
    for name in ("written", "stored", "synced"):
        (state / name).write_bytes(_COUNTER.pack(0, _ALL_BITS))
    for name in ("started.json", "ended.json"):
        _Record.reserve(state / name)
    _reserve(state / segment(0))


def _start(request: dict[str, Any], source: "_Source") -> "subprocess.Popen[bytes]":
    with source.command_end() as (descriptor, stdin):
        return subprocess.Popen(
            request["command"],
            cwd=request["directory"],
            env=request["env"] | variables(request.get("secrets", [])),
            user=request["user"],
            group=request["user"],
            extra_groups=None if request["user"] is None else [],
            umask=0o022,
            stdin=stdin,
            stdout=descriptor,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=source.in_command,  # noqa: PLW1509 - there are no other threads
        )


def _end_group(group: int) -> None:
    """Kill what is left of a process group, and wait until it can write no more."""
    deadline = time.monotonic() + _KILL_SECONDS
    with contextlib.suppress(ProcessLookupError, PermissionError):
        while time.monotonic() < deadline:
            os.killpg(group, signal.SIGKILL)
            time.sleep(0.001)


def _sync_later(state: Path) -> None:
    """Make the result survive a power cut, unless it is collected and removed first."""
    deadline = time.monotonic() + _SYNC_AFTER_SECONDS
    while time.monotonic() < deadline:
        if not (state / "ended.json").exists():
            return
        time.sleep(0.05)
    with contextlib.suppress(OSError):
        for path in (*state.glob("spool/*"), *state.glob("*"), state):
            if not path.is_fifo():
                os.fsync(os.open(path, os.O_RDONLY))
        # No new file: the directory may be being removed.
        descriptor = os.open(state / "synced", os.O_WRONLY)
        write_counter(descriptor, 1)
        os.fsync(descriptor)


# ------------------------------------------------------------------ the output


def _reset_ignored_signals() -> None:
    """Give ignored signals their default action again. The server inherits them from what started
    it (nohup ignores SIGHUP), and its child processes would inherit them, too.
    """
    for number in signal.valid_signals():
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


class _Pipe:
    """The FIFO."""

    tick_seconds: float | None = None
    """How often `tick` is to be called."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # Read and write, so that there is no end of file when the command closes its output.
        self.descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        """What the command writes comes out here."""
        if hasattr(fcntl, "F_SETPIPE_SZ"):
            with contextlib.suppress(OSError):
                fcntl.fcntl(self.descriptor, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

    def in_command(self) -> None:
        """Done in the command's process before the command begins."""
        _reset_ignored_signals()

    @contextlib.contextmanager
    def command_end(self) -> Iterator[tuple[int, int]]:
        """What the command has as its output, and as its input."""
        # Opened separately: the command may make its own end non-blocking, or not, as it likes.
        with self._path.open("wb", buffering=0) as output:
            yield output.fileno(), subprocess.DEVNULL

    def read(self, most: int) -> bytes:
        """What there is to read; empty when there is nothing."""
        try:
            return os.read(self.descriptor, most)
        except BlockingIOError:
            return b""

    def tick(self) -> None:
        """Nothing."""

    def left(self) -> int:
        """How many bytes there are to read."""
        return _readable(self.descriptor)

    def close(self) -> None:
        """Whoever still writes gets an error, and does not hang."""
        os.close(self.descriptor)


class _Terminal:
    """A pseudo-terminal that nobody types on: whoever reads from it is at the end of its input."""

    tick_seconds: float | None = _INPUT_SECONDS

    def __init__(self, request: dict[str, Any]) -> None:
        # The command's end stays open here, or there would be neither output nor an end of it.
        self.descriptor, self._command_end = os.openpty()
        os.set_blocking(self.descriptor, False)
        if request["user"] is not None:
            os.fchown(self._command_end, request["user"], -1)  # it may open it again
        size = struct.pack("HHHH", *_size(request["env"]), 0, 0)
        fcntl.ioctl(self.descriptor, termios.TIOCSWINSZ, size)
        modes = termios.tcgetattr(self._command_end)
        modes[3] &= ~termios.ECHO  # of an input that nobody typed
        termios.tcsetattr(self._command_end, termios.TCSANOW, modes)
        self._tick_at = 0.0

    def in_command(self) -> None:
        """Make it the command's own. In the background, whoever reads from it or changes it is to
        get an error: nobody would bring it to the foreground again.
        """
        _reset_ignored_signals()
        signal.signal(signal.SIGTTIN, signal.SIG_IGN)
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        fcntl.ioctl(1, termios.TIOCSCTTY, 0)

    @contextlib.contextmanager
    def command_end(self) -> Iterator[tuple[int, int]]:
        """What the command has as its output, and as its input."""
        yield self._command_end, self._command_end

    def read(self, most: int) -> bytes:
        """What there is to read; a terminal gives a few kilobytes at a time."""
        pieces: list[bytes] = []
        with contextlib.suppress(BlockingIOError):
            while most and (piece := os.read(self.descriptor, most)):
                pieces.append(piece)
                most -= len(piece)
        return b"".join(pieces)

    def tick(self) -> None:
        """End the input again, as with Ctrl-D, whenever there is nothing to read there: a program
        may discard what it has not read.
        """
        if time.monotonic() < self._tick_at:
            return
        self._tick_at = time.monotonic() + _INPUT_SECONDS
        if not select.select([self._command_end], [], [], 0)[0]:
            end_of_file = termios.tcgetattr(self._command_end)[6][termios.VEOF]
            with contextlib.suppress(BlockingIOError):
                os.write(self.descriptor, end_of_file)

    def left(self) -> int:
        """No fewer bytes than there are to read."""
        return _TERMINAL_BYTES  # FIONREAD does not count what is on its way in the kernel

    def close(self) -> None:
        """Whoever still writes gets an error, and does not hang."""
        os.close(self._command_end)
        os.close(self.descriptor)


_Source = _Pipe | _Terminal


def _size(env: Mapping[str, str]) -> tuple[int, int]:
    """Lines and columns of a terminal: those that the command is told by variables."""
    found = []
    for name, otherwise in (("LINES", _LINES), ("COLUMNS", _COLUMNS)):
        text = env.get(name, "")
        size = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0
        found.append(size if 0 < size <= _LONGEST_LINE else otherwise)
    return found[0], found[1]


class _OutputKeeper:
    """Takes what the command writes into the spool, as far as there is room."""

    def __init__(self, state: Path) -> None:
        self.source: _Source = _Pipe(state / "pipe")
        self._spool = _Spool(state)
        self.pending = b""
        """What was read, but is not on disk yet."""
        self._bell, bell = os.pipe()
        os.set_blocking(self._bell, False)
        os.set_blocking(bell, False)
        signal.set_wakeup_fd(bell, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # without a handler the bell does not ring

    def follow(self, process: "subprocess.Popen[bytes]") -> None:
        """Copy the output until the command has ended. Some may be left to be read then."""
        while process.poll() is None:
            self.source.tick()
            if not self._flush():
                self._wait(output=False, seconds=_RETRY_SECONDS)
                continue
            room = self._spool.room()
            has_room = room >= _PACKET_BYTES
            seconds = self.source.tick_seconds if has_room else _FULL_SECONDS
            if self._wait(output=has_room, seconds=seconds):
                self.pending = self.source.read(room)

    def drain(self) -> dict[str, int]:
        """Copy what the command left to be read; returns the output's size, and the bytes lost.

        No more than is there now: a daemon that escaped may go on writing for ever.
        """
        left = self.source.left()
        deadline = time.monotonic() + _DRAIN_SECONDS
        while True:
            if not self._flush():
                if time.monotonic() > deadline:
                    left = min(left, _readable(self.source.descriptor))
                    break
                time.sleep(_RETRY_SECONDS)
            elif content := self.source.read(min(left, _PIECE_BYTES)):
                left -= len(content)
                self.pending = content
            else:
                left = 0
                break
        self.source.close()
        return {"size": self._spool.written, "lost": len(self.pending) + left}

    def _flush(self) -> bool:
        """Whether everything that was read is on disk."""
        if self.pending:
            self.pending = self._spool.keep(self.pending)
        return not self.pending

    def _wait(self, output: bool, seconds: float | None) -> bool:
        """Wait until a child ends or, if asked, until there is output; returns whether there is."""
        source = self.source.descriptor
        watched = [self._bell, source] if output else [self._bell]
        ready, _, _ = select.select(watched, [], [], seconds)
        if self._bell in ready:
            os.read(self._bell, 512)
        return source in ready


class _Spool:
    """Output that is not stored yet, in segment files."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._counter = os.open(state / "written", os.O_RDWR)
        self._stored = os.open(state / "stored", os.O_RDONLY)
        self._segment = -1
        self._number = -1
        self._first = 0
        """The oldest segment that is still there."""
        self._reserved = 1
        """The segments before this one exist, with disk space reserved where that is supported."""
        self.written = 0

    def room(self) -> int:
        """How many bytes may be read from the pipe now and still leave the reserve untouched."""
        if self.written - self._first * SEGMENT_BYTES > SEGMENTS * SEGMENT_BYTES // 4:
            self._release()
        end = (self._first + SEGMENTS) * SEGMENT_BYTES
        room = min(max(end - _RESERVE_BYTES - self.written, 0), _PIECE_BYTES)
        if self._reserve_until(self.written + room + _RESERVE_BYTES):
            return room
        self._release()  # makes room for the next attempt
        return 0

    def keep(self, content: bytes) -> bytes:
        """Append to the spool; returns what could not be written."""
        done = 0
        # A full disk or an I/O error may be temporary: the caller tries again.
        with contextlib.suppress(OSError):
            while done < len(content):
                number, within = divmod(self.written + done, SEGMENT_BYTES)
                piece = memoryview(content)[done : done + SEGMENT_BYTES - within]
                done += os.pwrite(self._open(number), piece, within)
        self.written += done
        with contextlib.suppress(OSError):
            write_counter(self._counter, self.written)  # last: readers trust it
        return content[done:]

    def _open(self, number: int) -> int:
        if self._number != number:
            opened = os.open(self._state / segment(number), os.O_WRONLY | os.O_CREAT, 0o600)
            if self._segment >= 0:
                os.close(self._segment)
            self._segment, self._number = opened, number
        return self._segment

    def _reserve_until(self, end: int) -> bool:
        while self._reserved * SEGMENT_BYTES < end:
            try:
                _reserve(self._state / segment(self._reserved))
            except OSError:
                return False
            self._reserved += 1
        return True

    def _release(self) -> None:
        """Delete the segments that are stored completely."""
        stored = min(read_counter(self._stored) or 0, self.written)
        while (self._first + 1) * SEGMENT_BYTES <= stored:
            with contextlib.suppress(OSError):
                (self._state / segment(self._first)).unlink()
            self._first += 1


def segment(number: int) -> str:
    """The file with the output's bytes from `number * SEGMENT_BYTES` on, in the state directory."""
    return f"spool/{number:04}"


def read_counter(descriptor: int) -> int | None:
    """The number in a counter file; `None` if it is being changed just now."""
    content = os.pread(descriptor, _COUNTER.size, 0)
    if len(content) < _COUNTER.size:
        return None
    number, inverse = _COUNTER.unpack(content)
    return int(number) if number ^ inverse == _ALL_BITS else None


def write_counter(descriptor: int, number: int) -> None:
    """Change the number in a counter file. This works on a full disk."""
    os.pwrite(descriptor, _COUNTER.pack(number, number ^ _ALL_BITS), 0)


def _reserve(path: Path) -> None:
    """Create a segment and reserve its disk space. Raises OSError when there is none. Where the
    system cannot reserve space, a full disk shows only when the segment is written.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, SEGMENT_BYTES)
    except OSError as error:
        if error.errno not in _CANNOT_RESERVE:
            raise
    finally:
        os.close(descriptor)


def _readable(descriptor: int) -> int:
    """How many bytes can be read at once."""
    try:
        answer = fcntl.ioctl(descriptor, termios.FIONREAD, b"\0" * 4)
    except OSError:
        return _RESERVE_BYTES
    return int.from_bytes(answer, sys.byteorder)


class _Record:
    """A JSON file that can be written on a full disk: its space is reserved in advance."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = os.open(_reserved(path), os.O_WRONLY)

    @staticmethod
    def reserve(path: Path) -> None:
        """Reserve the space."""
        _reserved(path).write_bytes(b" " * _RECORD_BYTES)

    def publish(self, content: dict[str, Any]) -> None:
        """Write the file, which is there whole or not at all."""
        os.pwrite(self._file, json.dumps(content).encode(), 0)
        _reserved(self._path).replace(self._path)


def _reserved(path: Path) -> Path:
    return path.with_suffix(".reserved")


def variables(files: list[str]) -> dict[str, str]:
    """Secrets, by the names of their files: the request, which is on disk, does not have them."""
    return {Path(file).name: os.fsdecode(Path(file).read_bytes()) for file in files}


def boot() -> str:
    """Identifies this boot of the machine; empty where the system has no name for it."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def now() -> str:
    """The current time, RFC 3339."""
    return datetime.now(UTC).isoformat()


def start_time(pid: int) -> str:
    """When a process started: with the pid, a name not used twice while the machine runs. Raises
    OSError when there is none.
    """
    return process_facts(pid)[1]


def process_facts(pid: int) -> tuple[str, str]:
    """The letter for what a process is doing, such as Z for a zombie, and when it started, in the
    kernel's ticks. See proc(5), fields 3 and 22 of stat. Raises OSError when there is none.
    """
    if sys.platform != "linux":
        return facts_from_ps(pid)
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return fields[0], fields[19]


def facts_from_ps(pid: int) -> tuple[str, str]:
    """The same for kernels without /proc; the start is a date, to the second."""
    asked = ["ps", "-o", "state=", "-o", "lstart=", "-p", str(pid)]
    told = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
    done = subprocess.run(asked, capture_output=True, text=True, env=told, check=False)
    answer = done.stdout.split()
    if not answer:
        raise ProcessLookupError(pid)
    return answer[0][0], " ".join(answer[1:])


def write_json(path: Path, content: dict[str, object]) -> None:
    """Write a file that is there whole, or not at all."""
    partial = path.with_suffix(f".{os.getpid()}.part")
    partial.write_text(json.dumps(content))
    partial.replace(path)


if __name__ == "__main__":
    main()
