"""What e-mails about jobs say. Whatever comes from jobs and users is hostile."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from html import escape
from typing import Any

from ci_common.deliveries import OF_JOBS, TEST_TYPE, Message
from ci_common.job import JobStatus, Reason
from ci_common.job_events import JobEventKind

_LONGEST_SUBJECT = 150
_LONGEST_VALUE = 2000
_COMMIT_DIGITS = 8

_Row = tuple[str, str]

_WORDS = {
    JobEventKind.SUBMITTED: "was submitted",
    JobEventKind.CLAIMED: "is being prepared",
    JobEventKind.STARTED: "has started",
    JobEventKind.CANCEL_REQUESTED: "is being cancelled",
    JobEventKind.RETRIED: "is started again",
    JobEventKind.DELETED: "was deleted",
}


def compose(message: Message, sender: str, now: datetime) -> EmailMessage:
    """An e-mail in plain text and HTML. Its Message-ID is the same in every attempt."""
    data = message.payload["data"]
    headline = _headline(message.type, data)
    rows = _rows(data)
    why = _why(message)
    mail = EmailMessage(policy=SMTP)
    mail["From"] = sender
    mail["To"] = message.address
    mail["Subject"] = _line(f"[ci] {headline}", _LONGEST_SUBJECT)
    mail["Date"] = format_datetime(now)
    mail["Message-ID"] = f"<{message.message_id}@{sender.rpartition('@')[2].strip('>')}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(_as_text(headline, rows, why))
    mail.add_alternative(_as_html(headline, rows, why), subtype="html")
    return mail


def _headline(kind: str, data: Mapping[str, Any]) -> str:
    if kind == TEST_TYPE:
        return "test message"
    job = data.get("job") or {}
    name = job.get("name") or data["job_id"]
    branch = (job.get("labels") or {}).get("git.branch")
    what = f"{name} ({branch})" if branch else str(name)
    if data["kind"] != JobEventKind.FINISHED.value:
        return f"{what} {_WORDS[JobEventKind(data['kind'])]}"
    return f"{what} {_result(data['facts'])}"


def _result(facts: Mapping[str, Any]) -> str:
    status, reason = facts["status"], str(facts["reason"])
    if status == JobStatus.COMPLETED.value:
        code = facts["exit_code"]
        return "passed" if code == 0 else f"failed with exit code {code}"
    if status != JobStatus.FAILED.value:
        return str(status)
    return "timed out" if reason == Reason.TIMEOUT.value else f"failed: {reason.replace('_', ' ')}"


def _rows(data: Mapping[str, Any]) -> Sequence[_Row]:
    job, facts = data.get("job") or {}, data.get("facts") or {}
    labels = job.get("labels") or {}
    tests = facts.get("tests")
    found = {
        "Job": data.get("job_id"),
        "Title": job.get("title"),
        "User": data.get("user"),
        "Tenant": data.get("tenant"),
        "Branch": labels.get("git.branch"),
        "Commit": str(labels.get("git.commit") or "")[:_COMMIT_DIGITS],
        "Result": facts.get("message"),
        "Tests": tests and _tests(tests),
        "Time": data.get("at"),
        "Page": job.get("url"),
    }
    return [(name, str(value)[:_LONGEST_VALUE]) for name, value in found.items() if value]


def _tests(tests: Mapping[str, Any]) -> str:
    counts = ", ".join(
        f"{tests[name]} {'error' if (name, tests[name]) == ('errors', 1) else name}"
        for name in ("passed", "failed", "errors", "skipped")
        if tests.get(name)
    )
    return f"{tests.get('total', 0)}: {counts}"


def _why(message: Message) -> str:
    if message.owner == OF_JOBS:
        return "The job asked for this e-mail (--notify, or notify in its project's table)."
    return f"Sent because of the subscription {message.owner} of the tenant {message.tenant}."


def _as_text(headline: str, rows: Sequence[_Row], why: str) -> str:
    lines = [f"{name + ':':<8} {_line(value, _LONGEST_VALUE)}" for name, value in rows]
    return "\n".join([_line(headline, _LONGEST_SUBJECT), "", *lines, "", why, ""])


def _as_html(headline: str, rows: Sequence[_Row], why: str) -> str:
    cells = "".join(
        f"<tr><td>{escape(name)}</td><td>{_html_value(name, value)}</td></tr>"
        for name, value in rows
    )
    return (
        "<!doctype html><html><body>"
        f"<h3>{escape(_line(headline, _LONGEST_SUBJECT))}</h3><table>{cells}</table>"
        f"<p><small>{escape(why)}</small></p></body></html>\n"
    )


def _html_value(name: str, value: str) -> str:
    shown = escape(_line(value, _LONGEST_VALUE))
    return f'<a href="{shown}">{shown}</a>' if name == "Page" else shown


def _line(text: str, most: int) -> str:
    """One line without control characters, and without what turns the direction of writing."""
    return "".join(one if one.isprintable() else " " for one in text)[:most]
