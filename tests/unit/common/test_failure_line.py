"""The line that says why a job failed, and what a crash may have left of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_common.failure_line import failure_line, missing_part
from ci_common.job import JobStatus, Outcome, Reason

COMPLETED, FAILED, CANCELLED = JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED
LINE = failure_line(Outcome(FAILED, Reason.LAUNCH_FAILED, "no bridge"))
THE_JOBS = (Reason.EXIT, Reason.LOG_LIMIT, Reason.CANCELLED, Reason.OOM, Reason.TIMEOUT)


def test_its_form():
    assert LINE == b"ci: the job failed: launch_failed: no bridge\n"


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason not in THE_JOBS])
def test_every_reason_that_is_not_the_commands_own_has_one(reason):
    line = failure_line(Outcome(FAILED, reason, "why; what to do"))
    assert line == f"ci: the job failed: {reason.value}: why; what to do\n".encode()


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(COMPLETED, Reason.EXIT, "exited with code 1", 1),
        Outcome(COMPLETED, Reason.LOG_LIMIT, "too large", 0),
        Outcome(COMPLETED, Reason.OOM, "killed: it used more than 16 MiB", 137),
        Outcome(FAILED, Reason.TIMEOUT, "stopped: it ran longer than its timeout", 137),
        Outcome(CANCELLED, Reason.CANCELLED, "cancelled"),
    ],
)
def test_the_log_of_what_ran_to_its_end_or_its_limit_is_what_it_wrote(outcome):
    assert failure_line(outcome) == b""


@given(st.text(max_size=5000))
def test_it_is_one_line_whatever_the_engine_says(message):
    line = failure_line(Outcome(FAILED, Reason.INTERNAL, message))
    assert line.endswith(b"\n")
    assert len(line.decode().splitlines()) == 1
    assert len(line) < 10_000
    assert b"\x1b" not in line


def test_a_name_that_is_no_text_does_not_break_it():
    line = failure_line(Outcome(FAILED, Reason.LAUNCH_FAILED, "no \udcff such file"))
    assert line == b"ci: the job failed: launch_failed: no ? such file\n"


@pytest.mark.parametrize("before", [b"", b"output\n", b"output without a line end"])
@pytest.mark.parametrize("cut", range(len(LINE) + 2))
def test_wherever_a_crash_cut_it_off_it_is_there_once(before, cut):
    start = b"" if before.endswith(b"\n") or not before else b"\n"
    whole = before + start + LINE
    written = whole[: min(len(before) + cut, len(whole))]
    at_line_start = written[-1:] in (b"", b"\n")
    rest = missing_part(LINE, written[-len(LINE) - 1 :], at_line_start=at_line_start)
    cut_early = len(written) - len(before + start) < len(b"ci: the job failed: ")
    if written + rest != whole:
        # Then it is begun anew: it cannot be told from output of the job.
        assert cut_early
        assert written + rest == written + b"\n" + LINE
    assert missing_part(LINE, (written + rest)[-len(LINE) - 1 :], at_line_start=True) == b""


def test_output_that_only_looks_like_it_is_not_taken_for_it():
    told = b"echo " + LINE
    assert missing_part(LINE, told[-len(LINE) - 1 :], at_line_start=True) == LINE
