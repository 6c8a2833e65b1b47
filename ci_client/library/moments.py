"""Points in time as people write them: 2h ago, today's date, or exactly."""

import re
from datetime import UTC, datetime, timedelta

from ci_client.errors import UsageError

_AGO = re.compile(r"([0-9]{1,6})([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def utc_text(name: str, text: str, now: datetime | None = None) -> str:
    """The moment that `text`, the value of the option `name`, means, as servers read it. `2h` is
    two hours before `now`; a date or time without a zone is in that of this machine.

    Raises UsageError.
    """
    ago = _AGO.fullmatch(text)
    try:
        if ago is not None:
            span = timedelta(**{_UNITS[ago[2]]: int(ago[1])})
            moment = (now or datetime.now(UTC)) - span
        else:
            moment = datetime.fromisoformat(text)
        utc = moment.astimezone(UTC).isoformat(timespec="milliseconds")
        return utc.replace("+00:00", "Z")
    except (ValueError, OverflowError):
        raise UsageError(
            f"{name}: {text[:60]!r} is not a valid time; use an age such as 30m, 2h or 7d, a date "
            "such as 2026-11-28, or a time such as 2026-11-28T09:00"
        ) from None
