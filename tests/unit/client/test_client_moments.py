"""Times as people write them."""

from datetime import UTC, datetime

import pytest

from ci_client.errors import UsageError
from ci_client.library.moments import utc_text

NOW = datetime(2026, 11, 28, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("90s", "2026-11-28T08:58:30.000Z"),
        ("2h", "2026-11-28T07:00:00.000Z"),
        ("7d", "2026-11-21T09:00:00.000Z"),
        ("1w", "2026-11-21T09:00:00.000Z"),
        ("2026-11-28T10:30:00+01:00", "2026-11-28T09:30:00.000Z"),
    ],
)
def test_moments(text, moment):
    assert utc_text("--since", text, NOW) == moment


def test_without_a_zone_it_is_that_of_this_machine():
    local = datetime(2026, 11, 28).astimezone(UTC)
    assert utc_text("--since", "2026-11-28") == f"{local:%Y-%m-%dT%H:%M}:00.000Z"


@pytest.mark.parametrize("text", ["", "yesterday", "2", "h", "-1h", "999999w", "2026-13-01"])
def test_what_is_no_moment(text):
    with pytest.raises(UsageError, match="--since"):
        utc_text("--since", text, NOW)
