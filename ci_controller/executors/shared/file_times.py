"""Times of a job's files, which a job may set to anything."""

import math
from datetime import UTC, datetime

_LATEST = 253_402_214_400
"""The last day of 9999: what comes after it is no date in Python."""


def moment_of(seconds: float) -> datetime:
    """This many seconds after 1970, or the nearest moment that is a date from 1970 to 9999."""
    known = seconds if math.isfinite(seconds) else 0
    return datetime.fromtimestamp(min(max(known, 0), _LATEST), UTC)
