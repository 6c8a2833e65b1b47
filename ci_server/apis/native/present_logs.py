"""Places in logs, and what is found in them, as JSON."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from ci_common.job import format_time
from ci_common.ports.logs import MARK_SECONDS, LogMark
from ci_server.streams.log_positions import LogExtent, LogPosition, MarkPage
from ci_server.streams.log_search import SearchEvent, SearchProgress, TimedHit


def mark_page_json(page: MarkPage) -> dict[str, Any]:
    """Marks of a log."""
    return {
        **_extent_json(page.extent),
        "timed": page.timed,
        "resolution_seconds": MARK_SECONDS,
        "marks": [_mark_json(mark) for mark in page.marks],
        "next": page.following,
    }


def log_position_json(position: LogPosition) -> dict[str, Any]:
    """A place in a log."""
    return {
        "offset": position.offset,
        "line": position.line,
        "line_offset": position.line_offset,
        "time": _received_json(position.received_at),
        **_extent_json(position.extent),
    }


def search_event_json(event: SearchEvent) -> dict[str, Any]:
    """An event of a search in a log."""
    if isinstance(event, TimedHit):
        return {"type": "hit", **asdict(event.hit), "time": _received_json(event.received_at)}
    if isinstance(event, SearchProgress):
        return {"type": "progress", "offset": event.offset, "size": event.size}
    return {
        "type": "end",
        "hits": event.hits,
        "offset": event.offset,
        "truncated": event.truncated,
        "damaged": event.damaged,
        **_extent_json(event.extent),
    }


def mark_event_json(mark: LogMark) -> dict[str, Any]:
    """A mark among the events of a stream."""
    return {"type": "time", **_mark_json(mark)}


def _mark_json(mark: LogMark) -> dict[str, Any]:
    return {
        "offset": mark.offset,
        "line": mark.lines + 1,
        "time": _received_json(mark.received_at),
    }


def _received_json(received_at: float | None) -> str | None:
    """A time of a mark."""
    return None if received_at is None else format_time(datetime.fromtimestamp(received_at, UTC))


def _extent_json(extent: LogExtent) -> dict[str, Any]:
    return {"size": extent.size, "lines": extent.lines, "final": extent.final}
