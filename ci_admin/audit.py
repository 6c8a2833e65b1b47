"""The audit log for operators: record what `ci-admin` did, and query entries."""

import json
import os
import pwd
import re
from dataclasses import asdict
from datetime import datetime, timedelta

from ci_admin.instance import opened
from ci_common.errors import BadRequestError
from ci_common.job import format_time, utc_now
from ci_common.ports.audit import AuditAction, AuditEntry, AuditQuery
from ci_common.settings import Settings
from ci_persistence.sqlite.audit import SqliteAuditLog

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def operator_entry(
    action: AuditAction,
    *,
    tenant: str | None = None,
    target: str | None = None,
    detail: str | None = None,
) -> AuditEntry:
    """An entry of the user of this machine who runs the command, behind sudo, too."""
    return AuditEntry(
        at=utc_now(),
        action=action.value,
        tenant=tenant,
        user=f"os:{_operator()}",
        role="operator",
        credential="ci-admin",
        target=target,
        detail=detail,
    )


def _operator() -> str:
    try:
        own = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        own = str(os.getuid())
    caller = os.environ.get("SUDO_USER") if os.getuid() == 0 else None
    return f"{caller}({own})" if caller and caller != own else own


def since(text: str, now: datetime) -> datetime:
    """A time: `7d`, `12h`, `30m`, `2w` ago, or RFC 3339. Raises BadRequestError."""
    if match := re.fullmatch(r"(\d{1,5})([mhdw])", text):
        return now - timedelta(**{_UNITS[match[2]]: int(match[1])})
    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError:
        raise BadRequestError(
            f"{text!r} is not a valid time: give an age such as 30m, 12h, 7d or 2w, or a time like "
            "2030-01-31T12:00Z"
        ) from None


async def query_audit(settings: Settings, query: AuditQuery) -> list[AuditEntry]:
    """The newest entries that match, the newest last. Raises DatabaseError."""
    async with opened(settings, keep_alone=False) as instance:
        return await SqliteAuditLog(instance.database).entries(query)


def as_json(entry: AuditEntry) -> str:
    """An entry on one line, for programs. Keys are only ever added."""
    return json.dumps({**asdict(entry), "at": format_time(entry.at)})


def as_line(entry: AuditEntry) -> str:
    """An entry for people. What others chose (paths, ids) cannot make a line of its own."""
    who = f"{entry.tenant or '-'}/{entry.user or '-'}"
    told = [format_time(entry.at) or "", entry.outcome.value, entry.action, who]
    told += [f"job={entry.job_id}"] if entry.job_id else []
    for name in ("target", "address", "credential", "request_id", "detail"):
        value = getattr(entry, name)
        told += [f"{name}={_plain(value)}"] if value else []
    return "  ".join(told)


def _plain(value: str) -> str:
    return value if re.fullmatch(r"[!-~]+", value) else json.dumps(value)
