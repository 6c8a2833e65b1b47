"""A job event as programs outside read it: the stream of events, and webhooks."""

from typing import Any

from ci_common.job import Visibility, format_time
from ci_common.job_events import JobEvent


def job_event_json(event: JobEvent) -> dict[str, Any]:
    """The event as a JSON object."""
    return {
        "type": "job",
        "seq": event.seq,
        "job_id": event.job_id,
        "kind": event.kind.value,
        "at": format_time(event.at),
        "tenant": event.tenant,
        "user": event.user,
        "private": event.visibility is Visibility.PRIVATE,
        "facts": dict(event.facts),
    }
