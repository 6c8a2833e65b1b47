"""`ci server`: what answers, whether jobs would run there, what they may be, and who we are."""

import json
from collections.abc import Mapping
from typing import Any

from ci_client.client import Client
from ci_client.command import exit_codes
from ci_client.command.connecting import connect
from ci_client.command.display import say
from ci_client.command.report_display import printable
from ci_client.errors import RequestRefused
from ci_client.library.config import ServerChoice

_ITS_OWN = ("upload_bytes", "unpacked_bytes", "files")
_OF_A_JOB = (
    ("timeout_seconds", "Timeout", " s"),
    ("memory_mb", "Memory", " MiB"),
    ("cpu_percent", "CPU", "% of one core"),
    ("pids", "Processes", ""),
    ("log_mb", "Log", " MiB"),
)


def show_server(choice: ServerChoice, as_json: bool) -> int:
    """Ask and show; the exit code."""
    with connect(choice) as client:
        status = _status(client)
        refusal = _add_what_it_tells_us(client, status)
    print(json.dumps(status, indent=2) if as_json else _lines(status), flush=True)
    if refusal is not None:
        say(f"Error: {refusal.message}")
        return exit_codes.of_error(refusal)
    return exit_codes.PASSED if status["ready"] else exit_codes.INFRASTRUCTURE


def _status(client: Client) -> dict[str, Any]:
    """What anybody may ask for."""
    from ci_client.command.version import client_version

    health = client.server.health()
    why_not = client.server.why_not_ready()
    return {
        "address": client.server_url,
        "version": health.get("version"),
        "client_version": client_version(),
        "ready": why_not is None,
        "why_not_ready": why_not,
    }


def _add_what_it_tells_us(client: Client, status: dict[str, Any]) -> RequestRefused | None:
    """Add what only those are told who may use it; the refusal, if we may not."""
    try:
        facts = client.server.facts()
        if facts is None:
            limits = client.upload_limits()
            facts = {
                "limits": {
                    "upload_bytes": limits.max_upload_bytes,
                    "unpacked_bytes": limits.max_unpacked_bytes,
                    "files": limits.max_files,
                }
            }
        status |= {name: value for name, value in facts.items() if name not in status}
        if facts.get("role") != "viewer":
            status["unknown_fields"] = client.server.unknown_fields()
    except RequestRefused as error:
        if error.http_status not in (401, 403):
            raise
        return error
    return None


def _lines(status: Mapping[str, Any]) -> str:
    rows = [
        ("Server", str(status["address"])),
        ("Version", f"{status['version'] or 'unknown'}; {_fits(status)}"),
        ("State", "ready" if status["ready"] else f"not ready: {status['why_not_ready']}"),
    ]
    if "user" in status:
        rows.append(("You", _you(status)))
    if "executor" in status:
        rows.append(("Jobs run", _jobs(status)))
    rows += _limits(status.get("limits") or {})
    width = max(len(name) for name, _ in rows) + 1
    return "\n".join(f"{name + ':':<{width}} {printable(value)}" for name, value in rows)


def _fits(status: Mapping[str, Any]) -> str:
    """Whether client and server can do the same."""
    if unknown := status.get("unknown_fields"):
        return (
            f"older than this ci {status['client_version']}: it does not support "
            f"{', '.join(unknown)}"
        )
    if status["version"] == status["client_version"]:
        return "the same as this ci"
    return f"this ci is {status['client_version']}"


def _you(status: Mapping[str, Any]) -> str:
    if not status.get("authentication"):
        return "no users yet: every local user has full access"
    return f"{status['user']} (tenant {status.get('tenant')}, role {status.get('role')})"


def _jobs(status: Mapping[str, Any]) -> str:
    if status["executor"] == "process":
        return "as processes, not isolated"
    image = status.get("image")
    return f"in containers, default image {image}" if image else str(status["executor"])


def _limits(limits: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = []
    if any(limits.get(name) is not None for name in _ITS_OWN):
        packed, unpacked, files = (limits.get(name) for name in _ITS_OWN)
        rows.append(
            ("Upload", f"{_mib(packed)} packed, {_mib(unpacked)} unpacked, {_number(files)} files")
        )
    for name, label, unit in _OF_A_JOB:
        if isinstance(bound := limits.get(name), Mapping):
            rows.append((label, _bound(bound, unit)))
    if "artifacts" in limits:
        size = _number(limits.get("artifacts_mb"))
        rows.append(("Artifacts", f"{_number(limits['artifacts'])} files, {size} MiB"))
    if "concurrent_jobs" in limits:
        rows.append(("At once", _at_once(limits)))
    if limits.get("priority") is not None:
        rows.append(("Priority", f"0 to {limits['priority']}"))
    return rows


def _bound(bound: Mapping[str, Any], unit: str) -> str:
    default, most = bound.get("default"), bound.get("max")
    first = "no limit by default" if default is None else f"{_number(default)}{unit} by default"
    return first if most is None else f"{first}, at most {_number(most)}{unit}"


def _at_once(limits: Mapping[str, Any]) -> str:
    said = [f"{limits['concurrent_jobs']} jobs"]
    if (tenant := limits.get("concurrent_jobs_per_tenant")) is not None:
        said.append(f"{tenant} of your tenant")
    if (user := limits.get("live_jobs_per_user")) is not None:
        said.append(f"{user} of yours queued or running")
    return ", ".join(said)


def _mib(size: Any) -> str:
    return "?" if not isinstance(size, int) else f"{_number(size // (1 << 20))} MiB"


def _number(value: Any) -> str:
    return f"{value:,g}" if isinstance(value, float) else "?" if value is None else f"{value:,}"
