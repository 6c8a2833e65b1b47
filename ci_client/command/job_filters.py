"""What people may write for `--status` and `--reason` of `ci list`, and what is meant."""

from ci_client.errors import UsageError
from ci_common.job_states import JobStatus, Reason
from ci_common.suggestions import closest

OUTCOMES = ("passed", "failed")
"""Which mean the result of a job, whatever its status: `failed` includes failed tests."""
STATUSES = tuple(dict.fromkeys((*map(str, JobStatus), *OUTCOMES)))
REASONS = tuple(map(str, Reason))
_SYNONYMS = {
    **dict.fromkeys(("success", "successful", "succeeded", "ok", "green", "pass"), "passed"),
    **dict.fromkeys(("failure", "error", "red"), "failed"),
    **dict.fromkeys(("pending", "waiting"), "queued"),
    **dict.fromkeys(("active", "started"), "running"),
    **dict.fromkeys(("done", "finished", "ended"), "completed"),
    "aborted": "cancelled",
}


def check_status(status: str) -> None:
    """Raise UsageError for what is no status, with the one that may be meant."""
    if status not in STATUSES:
        raise _unknown("--status", status, STATUSES, _SYNONYMS.get(status.lower()))


def wrong_reason(reason: str) -> UsageError | None:
    """The error for a reason that neither we nor the server know; newer servers know more."""
    if reason in REASONS:
        return None
    return _unknown("--reason", reason, REASONS, None)


def _unknown(option: str, value: str, known: tuple[str, ...], meant: str | None) -> UsageError:
    meant = meant or closest(value, known)
    advice = f" Did you mean {meant}?" if meant else ""
    return UsageError(f"{option}: {value[:60]!r} is not one of {', '.join(known)}.{advice}")
