"""Lengths of time as people write them: 30s, 10m, 1h."""

import re

EXAMPLES_OF_SECONDS = "a number of seconds, or a string such as '30s', '10m', '1h'"

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}


def parse_seconds(text: str) -> float:
    """The seconds that `text` means; a number without a unit is seconds.

    Raises:
        ValueError: it means none; the message tells what would.
    """
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([smh]?)", text)
    if match is None:
        raise ValueError(f"{text[:60]!r} is not allowed; it must be {EXAMPLES_OF_SECONDS}")
    return float(match[1]) * _UNITS[match[2]]
