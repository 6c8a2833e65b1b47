"""Who the caller is to a server, and where server and key come from, for people and programs."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ci_client.command.report_display import printable
from ci_client.library.config import ClientConfig

LOCAL = "local"
"""The credential of callers of a server that asks nobody who they are."""
_SECONDS_OF_A_DAY = 86400


def caller_line(caller: Mapping[str, Any]) -> str:
    """One sentence or two; none for a server that does not tell."""
    if not caller:
        return ""
    if caller["credential"] == LOCAL:
        return "It has no users: anyone who can reach it has full access."
    who = f"You are {caller['user']} (tenant {caller['tenant']}, role {caller['role']})."
    key = caller.get("key")
    return printable(f"{who} The key {key_text(key)}." if isinstance(key, dict) else who)


def caller_details(config: ClientConfig, caller: Mapping[str, Any]) -> str:
    """A fact on each line."""
    rows = [("Server", f"{config.server_url} ({config.server_source})")]
    rows += [
        (name.capitalize(), str(caller[name]))
        for name in ("user", "tenant", "role")
        if name in caller
    ]
    rows.append(("Key", _key_details(config, caller)))
    return "\n".join(f"{label + ':':<8} {printable(value)}" for label, value in rows)


def caller_document(config: ClientConfig, caller: Mapping[str, Any]) -> dict[str, Any]:
    """The same for programs."""
    server, source, key = config.server_source, config.key_source, caller.get("key")
    told = key if isinstance(key, dict) else {}
    return {
        "server": {"url": config.server_url, "source": server.kind, "source_name": server.name},
        **{name: caller.get(name) for name in ("user", "tenant", "role", "credential")},
        "key": source
        and {
            "source": source.kind,
            "source_name": source.name,
            **{name: told.get(name) for name in ("prefix", "name", "expires_at")},
        },
    }


def key_text(key: Mapping[str, Any], now: datetime | None = None) -> str:
    """A key by the part of it that may be shown, its name, and how long it is valid."""
    named = f"{key.get('prefix')}… ({key.get('name')})"
    try:
        until = datetime.fromisoformat(str(key["expires_at"]))
    except (KeyError, ValueError):
        return f"{named} does not expire" if key.get("expires_at", "") is None else named
    left = until.replace(tzinfo=until.tzinfo or UTC) - (now or datetime.now(UTC))
    days = int(left.total_seconds() // _SECONDS_OF_A_DAY)
    return f"{named} expires on {until.date()}, in {days} day{'' if days == 1 else 's'}"


def _key_details(config: ClientConfig, caller: Mapping[str, Any]) -> str:
    if config.key_source is None:
        return "none"
    key = caller.get("key")
    what = key_text(key) if isinstance(key, dict) else "sent"
    return f"{what} ({config.key_source})"
