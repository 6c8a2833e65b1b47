"""An executor without processes, for fault injection.

It polices the contract of the port (`violations`), and takes faults from the job, by its
environment: `FAULT_LAUNCH` is the name of an error of `ci_common.errors` (or `defect`) that
`launch` raises; `FAULT_STUBBORN` makes the workload ignore SIGTERM. `STAGES` are those that a
`launch` tells of. A command such as
`("out:hello", "file:output/a=text", "exit:3")` plays by itself; what it leaves open the test
drives. Calls can be held (`hold`) at these points: `launch` is the moment before the workload is
made, `made` the one before it is started, and `list`, `inspect`, `files`, `remove` are those
calls.
"""

import asyncio
import threading
from dataclasses import dataclass

from ci_common import errors
from ci_common.errors import (
    EngineDisturbedError,
    EngineFailingError,
    EngineUnavailableError,
    LeaseLostError,
    WorkloadLostError,
)
from ci_common.launch_step import LaunchStage
from ci_common.ports.workloads import OutputEnd, Workload, WorkloadFile, WorkloadState, untold
from ci_common.resources import ResourceUsage
from ci_controller.executors.shared.package import verify


class FakeWorkload:
    """A workload that does what the test says."""

    def __init__(self, request, log_base, clock):
        self.request = request
        self.log_base = log_base
        self.epoch = request.epoch
        self.secrets = list(request.secrets)
        self.files = {}
        """Content by path of what it leaves; an error in place of content is raised."""
        self.state = WorkloadState.CREATED
        self.content = bytearray()
        self.exit_code = None
        self.oom_killed = False
        self.started_at = self.finished_at = None
        self.outputs = []
        self.used = ResourceUsage(0.0, 1 << 20)
        self.stored = 0
        """What of its output it was told to be on disk."""
        self.end = None
        """How its output ends, when not with its last byte."""
        self.exit_cuts_followers = False
        """Whether an output that was reattached before the exit ends with it, whatever is left."""
        self.condition = threading.Condition()
        self._clock = clock

    def start(self):
        self.state, self.started_at = WorkloadState.RUNNING, self._clock()
        for step in self.request.command:
            verb, _, argument = step.partition(":")
            if verb == "out":
                self.write(argument.encode())
            elif verb == "file":
                path, _, content = argument.partition("=")
                self.files[path] = content.encode()
            elif verb == "exit":
                self.exit(int(argument))

    def write(self, content):
        with self.condition:
            self.content += content
            self.condition.notify_all()

    def exit(self, code, oom_killed=False):
        with self.condition:
            if self.state is WorkloadState.RUNNING:
                self.state, self.exit_code = WorkloadState.EXITED, code
                self.oom_killed, self.finished_at = oom_killed, self._clock()
            self.condition.notify_all()

    def drop(self):
        """Break every connection to the output; the workload goes on."""
        with self.condition:
            for output in self.outputs:
                output.dropped = True
            self.condition.notify_all()

    def seen(self):
        return Workload(
            self.request.job_id,
            self.state,
            self.log_base,
            self.request.attempt,
            self.epoch,
            self.exit_code,
            self.oom_killed,
            self.started_at,
            self.finished_at,
        )


class FakeFiles:
    """What is at or below a path of an exited workload."""

    def __init__(self, files, modified_at):
        self._files = files
        self._modified_at = modified_at
        self.closed = False

    def __iter__(self):
        for path, content in self._files.items():
            if self.closed:
                raise EngineUnavailableError
            if isinstance(content, Exception):
                raise content
            pieces = iter([content[:2], content[2:]])
            yield WorkloadFile(path, len(content), self._modified_at, pieces)

    def close(self):
        self.closed = True


@dataclass
class Hold:
    """A place where calls wait for the test."""

    reached: asyncio.Event
    go_on: asyncio.Event

    def release(self):
        self.go_on.set()


class FakeOutput:
    """Small pieces, so that a defect in joining them shows."""

    PIECE_BYTES = 7

    def __init__(self, workload, skip, live=False):
        self._workload = workload
        self._position = skip
        self._follows = not live and workload.state is WorkloadState.RUNNING
        self.dropped = self.closed = False
        self.end = None
        workload.outputs.append(self)

    def read(self):
        workload = self._workload
        with workload.condition:
            while True:
                if self.closed or self.dropped or self._is_cut():
                    return b""
                piece = bytes(workload.content[self._position :][: self.PIECE_BYTES])
                if piece or workload.state is WorkloadState.EXITED:
                    self._position += len(piece)
                    if not piece:
                        self.end = workload.end or OutputEnd(len(workload.content))
                    return piece
                workload.condition.wait()

    def stored(self, offset):
        assert 0 <= offset <= self._position
        self._workload.stored = max(offset, self._workload.stored)

    def _is_cut(self):
        cuts = self._workload.exit_cuts_followers
        return cuts and self._follows and self._workload.state is WorkloadState.EXITED

    def close(self):
        with self._workload.condition:
            self.closed = True
            self._workload.condition.notify_all()


class FakeExecutor:
    """See the module."""

    def __init__(self, clock):
        self.workloads = {}
        self.calls = []
        """(method, job id) in call order."""
        self.graces = []
        """What stops were given, in call order."""
        self.down = set()
        """Methods that cannot reach the engine; `all` is all of them."""
        self.failing = set()
        """Methods at which the engine answers that it has a trouble of its own. With `probe` it
        starts nothing at all."""
        self.violations = []
        self.row_of = None
        """A coroutine function that returns a job's row, to police removals with."""
        self.launch_gate = asyncio.Event()
        """Cleared by a test that wants launches to take their time."""
        self.launch_gate.set()
        self.launches_waiting = 0
        self.setup_output = b""
        """What a launch writes to the log before it makes the workload, or fails to."""
        self.files_given = []
        self.left = []
        """Its leftovers, besides workloads."""
        self.unenforced = []
        """The limits that it says it cannot enforce."""
        self._holds = {}
        self._held = []
        self.several_processes = False
        """Set by a test in which an old controller has not noticed yet that there is a new one."""
        self._clock = clock
        self._connecting = set()
        self._closed = False

    async def list_workloads(self):
        self._called("list", "")
        await self._reach("list", "")
        return [workload.seen() for workload in self.workloads.values()]

    async def inspect(self, job_id):
        self._called("inspect", job_id)
        await self._reach("inspect", job_id)
        workload = self.workloads.get(job_id)
        return workload.seen() if workload else None

    async def launch(self, request, log, on_stage=untold):
        await verify(request.package)
        job_id = request.job_id
        with _Once(self, "launch", job_id):
            log.append(self.setup_output)
            self._called("launch", job_id)
            for stage in request.env.get("STAGES", "").split():
                on_stage(LaunchStage(stage))
            self._fail_as(request.env.get("FAULT_LAUNCH"))
            log_base = log.size
            await self._reach("launch", job_id)
            self._replace(request)
            workload = FakeWorkload(request, log_base, self._clock)
            self.workloads[job_id] = workload
            self.launches_waiting += 1
            try:
                await self.launch_gate.wait()
                await self._reach("made", job_id)
            except BaseException:
                if self.workloads.get(job_id) is workload:
                    del self.workloads[job_id]
                raise
            finally:
                self.launches_waiting -= 1
            if self.workloads.get(job_id) is not workload:
                raise errors.LaunchFailedError("it was removed before it was started")
            output = FakeOutput(workload, 0, live=True)
            workload.start()
            return output

    def _replace(self, request):
        """Remove what an earlier attempt or controller left, as its contract says."""
        leftover = self.workloads.get(request.job_id)
        if leftover is None:
            return
        if leftover.epoch > request.epoch:
            raise LeaseLostError
        started = leftover.state is not WorkloadState.CREATED
        same = (leftover.epoch, leftover.request.attempt) == (request.epoch, request.attempt)
        if started and same:
            self._violation("launch", request.job_id, "its workload was started before")
        self.workloads.pop(request.job_id).exit(137)

    async def reattach(self, job_id, skip):
        with _Once(self, "reattach", job_id):
            self._called("reattach", job_id)
            workload = self.workloads.get(job_id)
            if workload is None:
                raise WorkloadLostError
            if workload.state is WorkloadState.CREATED:
                self._violation("reattach", job_id, "its workload was never started")
            if skip < workload.stored:
                self._violation("reattach", job_id, f"{skip} is before {workload.stored}")
            return FakeOutput(workload, skip)

    async def files(self, job_id, path):
        self._called("files", job_id)
        await self._reach("files", job_id)
        workload = self.workloads.get(job_id)
        if workload is None:
            raise WorkloadLostError
        if workload.state is not WorkloadState.EXITED:
            self._violation("files", job_id, "its workload goes on")
        below = {
            name: content
            for name, content in workload.files.items()
            if path == "." or name == path or name.startswith(f"{path}/")
        }
        if not below:
            return None
        self.files_given.append(FakeFiles(below, workload.finished_at))
        return self.files_given[-1]

    async def stop(self, job_id, grace_seconds):
        self._called("stop", job_id)
        self.graces.append(grace_seconds)
        workload = self.workloads.get(job_id)
        if workload is not None and "FAULT_STUBBORN" in workload.request.env:
            await asyncio.sleep(grace_seconds)
            workload.exit(137)
        elif workload is not None:
            workload.exit(143)

    async def remove(self, job_id):
        self._called("remove", job_id)
        await self._reach("remove", job_id)
        workload = self.workloads.get(job_id)
        row = await self.row_of(job_id) if self.row_of else None
        if workload is not None and row is not None and not row.status.is_terminal:
            self._violation("remove", job_id, f"the row is still {row.status}")
        if workload is not None:
            del self.workloads[job_id]
            workload.exit(137)

    async def check(self):
        self._called("check", "")
        return self.unenforced

    async def usage(self, job_id):
        workload = self.workloads.get(job_id)
        return workload.used if workload and workload.state is WorkloadState.RUNNING else None

    async def describe(self):
        self._called("describe", "")
        return "a fake"

    async def probe(self, request):
        self._called("probe", "")
        await self._reach("probe", "")

    async def tidy(self, epoch):
        self._called("tidy", "")

    async def leftovers(self, older_than_seconds):
        return list(self.left)

    async def remove_leftover(self, leftover):
        if leftover in self.left:
            self.left.remove(leftover)

    async def close(self):
        self._closed = True

    def vanish(self, job_id):
        """Remove a workload the way somebody else would."""
        self.workloads.pop(job_id).drop()

    def hold(self, point, job_id):
        """Make the next call that comes to this point wait until it is released."""
        hold = self._holds[point, job_id] = Hold(asyncio.Event(), asyncio.Event())
        return hold

    def release_all(self):
        for hold in self._held:
            hold.release()

    async def _reach(self, point, job_id):
        hold = self._holds.pop((point, job_id), None)
        if hold is not None:
            self._held.append(hold)
            hold.reached.set()
            await hold.go_on.wait()

    def open_outputs(self, job_id):
        return [output for output in self.workloads[job_id].outputs if not output.closed]

    def count(self, method, job_id=""):
        return self.calls.count((method, job_id))

    def _called(self, method, job_id):
        self.calls.append((method, job_id))
        if self._closed:
            self._violation(method, job_id, "after close")
        if self.down & {method, "all"}:
            raise EngineUnavailableError
        if method in self.failing:
            raise (EngineDisturbedError if method == "probe" else EngineFailingError)("no bridge")

    def _fail_as(self, fault):
        if fault == "defect":
            raise ZeroDivisionError("a defect of the executor")
        if fault is not None:
            raise getattr(errors, fault)

    def _violation(self, method, job_id, what):
        self.violations.append(f"{method} {job_id}: {what}")
        raise AssertionError(self.violations[-1])


class _Once:
    """Per job, launch and reattach are not called concurrently, nor with an output open."""

    def __init__(self, executor, method, job_id):
        self._executor, self._method, self._job_id = executor, method, job_id

    def __enter__(self):
        executor, job_id = self._executor, self._job_id
        taken_over = executor.several_processes
        if job_id in executor._connecting and not taken_over:
            executor._violation(self._method, job_id, "while it is being connected")
        if job_id in executor.workloads and executor.open_outputs(job_id) and not taken_over:
            executor._violation(self._method, job_id, "while another output is open")
        executor._connecting.add(job_id)

    def __exit__(self, *_):
        self._executor._connecting.discard(self._job_id)
