"""What of a job could show its secrets, and how each is masked: log, messages, test reports.

A job without secrets is not touched: what goes in comes out, the same object.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from typing_extensions import override

from ci_common.coverage_files import CoverageFiles
from ci_common.job import CaseResult, SuiteSummary
from ci_common.ports.logs import LogAppender
from ci_common.ports.rows import Ending
from ci_common.ports.workloads import OutputEnd
from ci_common.progress import Progress
from ci_common.secret import Secret
from ci_controller.output.output_log import OutputLog
from ci_controller.output.secret_forms import patterns

if TYPE_CHECKING:
    from ci_controller.output.secret_masker import PatternSet

_CUT_BYTES = 4
"""A text may have been cut in the middle of a secret. What is shorter is no help to anybody."""


@dataclass(frozen=True, slots=True)
class Masking:
    """The masking of one job."""

    _patterns: "PatternSet | None" = None

    @classmethod
    def of(cls, secrets: Sequence[Secret]) -> "Masking":
        """Prepare; for many kilobytes of secrets this takes a fraction of a second."""
        if not secrets:
            return cls()
        # Late: numpy takes longer to import than all the rest of a small job's run.
        from ci_controller.output.secret_masker import PatternSet

        return cls(PatternSet(patterns(secrets)))

    def output(self, log: OutputLog) -> OutputLog:
        """The log, so that what it is given is masked first."""
        return log if self._patterns is None else MaskedOutput(log, self._patterns)

    def appender(self, log: LogAppender) -> "MaskedAppender | LogAppender":
        """The same for what others write before the output begins. To be used while the size
        of the log itself is not asked for, and ended by asking for `size`.
        """
        return log if self._patterns is None else MaskedAppender(log, self._patterns)

    def text(self, text: str) -> str:
        """A text that may quote the job."""
        if self._patterns is None:
            return text
        from ci_controller.output.secret_masker import Masker

        masker = Masker(self._patterns)
        whole = masker.feed(text.encode(errors="surrogateescape"))
        end = masker.finish()
        if len(end) >= _CUT_BYTES:
            end = b"*" * len(end)
        return (whole + end).decode(errors="replace")

    def progress(self, progress: Progress) -> Progress:
        """Progress with secrets masked. The line was masked, but JSON escapes can hide a secret."""
        if self._patterns is None:
            return progress
        message = progress.message
        return replace(
            progress,
            phase=self.text(progress.phase),
            scores={self.text(name): score for name, score in progress.scores.items()},
            message=None if message is None else self.text(message),
        )

    def ending(self, ending: Ending) -> Ending:
        """What is recorded at the job's end. The names of artifacts are as they are."""
        if self._patterns is None:
            return ending
        outcome = replace(ending.outcome, message=self.text(ending.outcome.message))
        tests = ending.tests and self._tests(ending.tests)
        files = ending.coverage_files and self._coverage(ending.coverage_files)
        return replace(ending, outcome=outcome, tests=tests, coverage_files=files)

    def _coverage(self, found: CoverageFiles) -> CoverageFiles:
        files = (replace(one, path=self.text(one.path)) for one in found.files)
        return replace(found, files=tuple(files))

    def _tests(self, tests: SuiteSummary) -> SuiteSummary:
        return replace(
            tests,
            failures=tuple(map(self._case, tests.failures)),
            slowest=tuple(map(self._case, tests.slowest)),
        )

    def _case(self, case: CaseResult) -> CaseResult:
        return replace(
            case,
            name=self.text(case.name),
            message=self.text(case.message),
            file=self.text(case.file),
        )


class MaskedOutput(OutputLog):
    """An output that is masked on its way into a log (see OutputLog).

    Offsets stay as they are. Some bytes before those that are needed are read once more, since
    a secret may have begun there; so what is masked does not depend on where reading began.
    """

    def __init__(self, log: OutputLog, patterns: "PatternSet") -> None:
        from ci_controller.output.secret_masker import Masker

        self._log = log
        self._masker = Masker(patterns)
        self._context = patterns.context
        self._known = log.skip - self.skip
        """Masked bytes still to come that the log has already."""

    @property
    @override
    def skip(self) -> int:
        return max(self._log.skip - self._context, 0)

    @override
    def append(self, content: bytes) -> None:
        self._put(self._masker.feed(content))

    @override
    def sync(self) -> None:
        self._log.sync()

    @override
    def finish(self, end: OutputEnd) -> int:
        self._put(self._masker.finish())
        return self._log.finish(end)

    def _put(self, masked: bytes) -> None:
        new = masked[self._known :]
        self._known -= len(masked) - len(new)
        if new:
            self._log.append(new)


class MaskedAppender(LogAppender):
    """A log whose content is masked (port LogAppender). What is held back is told by `size`."""

    def __init__(self, log: LogAppender, patterns: "PatternSet") -> None:
        from ci_controller.output.secret_masker import Masker

        self._log = log
        self._masker = Masker(patterns)

    @property
    @override
    def size(self) -> int:
        """What is written after this is looked through on its own."""
        self._give_up_what_is_held()
        return self._log.size

    @property
    @override
    def at_line_start(self) -> bool:
        """Whether a line begins there; as `size`, it ends what was held back."""
        self._give_up_what_is_held()
        return self._log.at_line_start

    @override
    def append(self, content: bytes, received_at: float | None = None) -> None:
        if masked := self._masker.feed(content):
            self._log.append(masked, received_at)

    @override
    def hold(self, offset: int, content: bytes) -> None:
        self._log.hold(offset, content)

    @override
    def held(self, since_epoch: int) -> tuple[int, bytes]:
        return self._log.held(since_epoch)

    @override
    def read(self, offset: int, limit: int) -> bytes:
        return self._log.read(offset, limit)

    @override
    def drop_held(self) -> None:
        self._log.drop_held()

    @override
    def sync(self) -> None:
        self._log.sync()

    @override
    def truncate(self, size: int) -> None:
        self._log.truncate(size)

    @override
    def close(self) -> None:
        self._log.close()

    def _give_up_what_is_held(self) -> None:
        if rest := self._masker.finish():
            self._log.append(rest)
