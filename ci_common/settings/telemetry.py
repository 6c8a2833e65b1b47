"""Settings of the log's form, and of traces."""

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator

from ci_common.settings.environment import EnvironmentSettings


def _collector(value: str | None) -> str | None:
    if value is None:
        return None
    try:
        url = urlsplit(value)
        is_url = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        is_url = False
    if not is_url or url.query or url.fragment or url.username is not None:
        raise ValueError(
            "must be the base URL of a collector that takes OTLP over HTTP, such as "
            "http://localhost:4318; credentials go to OTEL_EXPORTER_OTLP_HEADERS"
        )
    return value.rstrip("/")


class TelemetrySettings(EnvironmentSettings):
    """What operators get besides metrics."""

    log_format: Literal["text", "json"] = "text"
    """`json`: one object per line, with the ids of request, job and trace."""
    otlp_endpoint: Annotated[str | None, AfterValidator(_collector)] = None
    """Base URL of the collector that traces are sent to; unset: there are no traces."""
