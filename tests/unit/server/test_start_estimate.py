"""When a queued job will start."""

from datetime import timedelta

import pytest

from ci_common.ports.rows import StartOutlook
from ci_common.waiting import JobSlots
from ci_server.services.start_estimate import estimated_start
from support.jobs import NOON


@pytest.mark.parametrize(
    ("ahead", "of_tenant", "busy", "recent", "slots", "seconds"),
    [
        # It was started while we looked.
        (None, 0, 3, (20,), JobSlots(4), 0),
        (None, 4, 9, (), JobSlots(4), 0),
        # A slot is free.
        (0, 0, 0, (), JobSlots(4), 0),
        (3, 0, 0, (), JobSlots(4), 0),
        (1, 2, 2, (), JobSlots(4), 0),
        # None is, and nothing is known of such models.
        (4, 0, 0, (), JobSlots(4), None),
        (0, 4, 4, (), JobSlots(4), None),
        (0, 0, 4, (), JobSlots(4), None),
        # None is: those under way are half done, and the others go in rounds.
        (0, 4, 4, (10, 30, 20), JobSlots(4), 10),
        (4, 4, 4, (20,), JobSlots(4), 30),
        (3, 4, 4, (20,), JobSlots(4), 10),
        (2, 1, 1, (20,), JobSlots(1), 50),
        # The tenant may not have them all.
        (0, 1, 1, (20,), JobSlots(4, 1), 10),
        (0, 1, 1, (), JobSlots(4, 2), 0),
        (1, 1, 1, (20,), JobSlots(4, 1), 30),
        # Others have them all but one.
        (1, 1, 4, (20,), JobSlots(4), 30),
        # More are under way than may be: the setting was changed.
        (0, 9, 9, (20,), JobSlots(4), 10),
    ],
)
def test_an_estimate(ahead, of_tenant, busy, recent, slots, seconds):
    outlook = StartOutlook(ahead, of_tenant, busy, recent)
    expected = None if seconds is None else NOON + timedelta(seconds=seconds)
    assert estimated_start(outlook, slots, NOON) == expected
