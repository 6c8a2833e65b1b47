"""Where a workload's output goes, on its way into the job's log."""

from typing import Protocol

from ci_common.ports.workloads import OutputEnd
from ci_controller.executors.shared.log_pump import Storage


class OutputLog(Storage, Protocol):
    """One stage on the way: it passes on what it gets, bounded, masked, or looked at."""

    def append(self, content: bytes) -> None:
        """Take the next bytes of the output, the first time from `skip` on."""

    def finish(self, end: OutputEnd) -> int:
        """The output has ended; returns how many bytes are left out of the log."""
