"""The path of a job's output, with restarts: frames, spool, masking, cap, log, a resuming reader.

Whatever happens on the way, the log is the output, masked and capped as if nothing had happened,
and a reader that resumes sees each of its bytes once.
"""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ci_common.ports.workloads import OutputEnd
from ci_common.secret import Secret
from ci_controller.executors.docker import kept_output
from ci_controller.executors.docker.keeper import protocol
from ci_controller.executors.docker.kept_output import KeptOutput
from ci_controller.output.log_cap import CappedLog
from ci_controller.output.masking import Masking
from ci_persistence.logs.store import FileLogStore
from ci_persistence.signals.in_process import ProcessJobSignals
from support.jobs import a_job
from support.memory_log import MemoryLog
from support.simulated_init import KEY, SimulatedInit

SECRETS = [Secret("A", b"hunter\xff\xfe2-tail")]
MASKINGS = {False: Masking(), True: Masking.of(SECRETS)}
SETUP = b"installed\n"

SMALL = b"a\xe9\n\xf0\x9f<hunter\xff\xfe2-tail>\nb\r\0no end"
MODES = ("live", "early", "beats", "starving", "dropped", "away", "gone")
"""What a new reader meets: frames at once; frames of what it finds in the spool, too; frames that
were missed, and then beats; nothing but the spool; connections that the engine ends; the command
ends while nobody looks; and the init process is killed."""


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Small slots, so that the ring comes round; and no real waiting."""
    monkeypatch.setattr(kept_output, "_SILENCE_SECONDS", 0.001)
    monkeypatch.setattr(kept_output, "_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(kept_output, "_LONGEST_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(protocol, "SLOT_BYTES", 8)


class Way:
    """One job's output on its way into one log, through one server process after another."""

    def __init__(self, path, output, cap, is_masked):
        self.job_id = a_job().job_id
        self.init = SimulatedInit(output, exit_code=3)
        self.logs = FileLogStore(path, ProcessJobSignals())
        self.masking = MASKINGS[is_masked]
        self.cap = cap
        self.epochs = itertools.count(1)
        self.read = b""
        """What one reader has seen, over all server processes."""
        log = self.logs.open(self.job_id, next(self.epochs))
        log.append(SETUP)
        log.close()

    def serve(self, until, mode, step, cut=0):
        """One server process: it ends when the command has written `until` bytes, and what it got
        of that is stored; or at the end of the output, which is returned.
        """
        self.init.starves = mode == "starving"
        self.init.writes_on_attach = step if mode == "early" else 0
        log = self.logs.open(self.job_id, next(self.epochs))
        try:
            storage = self.masking.output(CappedLog(log, len(SETUP), self.cap))
            output = KeptOutput(self.init, "container", KEY, storage.skip)
            try:
                return self._run(output, storage, until, mode, step, cut)
            finally:
                output.close()
                self.init.drop()
        finally:
            log.close()
            self._follow()

    def _run(self, output, storage, until, mode, step, cut):
        while output.end is None:
            if not self._play(output, until, mode, step, cut):
                return None
            content = output.read() if self._has_news(output) else b""
            cut = 0
            if content:
                storage.append(content)
                self._tell(output, storage)
        storage.finish(output.end)
        return output.end

    def _play(self, output, until, mode, step, cut):
        """The next thing that happens outside; False when this process ends."""
        init = self.init
        if output._position < init.written:
            return True
        if init.written >= until < len(init.output):
            return False
        if not init.is_running:
            return True
        if output._attached is None:
            output._connect()
            if init.written > output._position:
                return True
        if mode == "dropped":
            init.drop()
        connections = init.connections
        if mode == "beats":
            init.connections = []
        init.write(min(step, until - init.written), cut)
        init.connections = connections
        if mode == "beats":
            init.beat()
        if init.written == len(init.output):
            init.stop() if mode == "gone" else init.end(told=mode != "starving")
        return True

    def _has_news(self, output):
        init = self.init
        return output._position < init.written or not init.is_running

    def _tell(self, output, storage):
        """As `log_pump` does, but after every piece."""
        storage.sync()
        output.stored(min(storage.skip, self.init.written))

    def _follow(self):
        size = self.logs.size(self.job_id)
        assert size >= len(self.read)
        self.read += self.logs.read(self.job_id, len(self.read), size)

    def finished(self):
        """What the log, and its reader, have at the end."""
        self._follow()
        stored = self.logs.read(self.job_id, 0, 1 << 20)
        assert self.read == stored
        return stored


def undisturbed(output, cap, is_masked, end):
    """The log when nothing happens on the way."""
    log = MemoryLog(SETUP)
    storage = MASKINGS[is_masked].output(CappedLog(log, len(SETUP), cap))
    storage.append(output)
    storage.finish(end)
    return bytes(log.content)


def expected_end(mode, output):
    if mode == "gone":
        return OutputEnd(len(output), None, kept_output._KILLED)
    return OutputEnd(len(output), exit_code=3)


@pytest.mark.parametrize("is_masked", [False, True])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("cap", [24, 1000])
def test_a_restart_at_every_byte(tmp_path, mode, cap, is_masked):
    for at in range(len(SMALL) + 1):
        (tmp_path / str(at)).mkdir()
        way = Way(tmp_path / str(at), SMALL, cap, is_masked)
        end = way.serve(at, "live", step=3) if at < len(SMALL) else None
        if mode == "away":
            way.init.end(told=False)
        end = end or way.serve(len(SMALL), mode, step=4, cut=at % 9)
        assert end == expected_end(mode, SMALL)
        assert way.finished() == undisturbed(SMALL, cap, is_masked, end), at


outputs = st.lists(
    st.sampled_from(
        [SECRETS[0].value, b"hunter\xff", b"\xff\xfe", b"line\n", "é😀".encode(), b"\0"]
    )
    | st.binary(max_size=9),
    max_size=30,
).map(b"".join)


@settings(max_examples=120, deadline=None)
@given(
    output=outputs,
    cap=st.integers(8, 400),
    is_masked=st.booleans(),
    stops=st.lists(st.integers(0, 200), max_size=5).map(sorted),
    modes=st.lists(st.sampled_from(MODES), min_size=6, max_size=6),
    step=st.integers(1, 30),
    cut=st.integers(0, 45),
)
def test_any_restarts(tmp_path_factory, output, cap, is_masked, stops, modes, step, cut):
    way = Way(tmp_path_factory.mktemp("way"), output, cap, is_masked)
    end = None
    for stop, mode in zip([*stops, len(output)], modes, strict=False):
        if mode == "away":
            way.init.end(told=False)
        stop = min(stop, len(output))
        if end is None:
            end, last = way.serve(stop, mode, step, cut), mode
    if end is None:
        end, last = way.serve(len(output), "live", step), "live"
    assert end in (expected_end(last, output), expected_end("live", output))
    assert way.finished() == undisturbed(output, cap, is_masked, end)
