"""Estimate when a queued job will start."""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

from ci_common.ports.rows import StartOutlook


@dataclass(frozen=True, slots=True)
class Slots:
    """How many jobs run at once; of one tenant `None` means that it may have all."""

    total: int
    of_tenant: int | None = None


def estimated_start(outlook: StartOutlook, slots: Slots, now: datetime) -> datetime | None:
    """The time at which a job will start; `None` when it is not known.

    A job for which a slot is free starts now. Else the tenant's jobs before it, of which each
    takes as long as the last ones did (the median), go through the tenant's slots in rounds; those
    under way are half done. Jobs of other tenants count only in that they may hold the slots.
    """
    if outlook.ahead is None:  # it was started while we looked
        return now
    own = slots.total if slots.of_tenant is None else min(slots.total, slots.of_tenant)
    free = min(slots.total - outlook.busy, own - outlook.busy_of_tenant)
    if outlook.ahead < free:
        return now
    if not outlook.recent_seconds:
        return None
    # Slots that others hold now are not counted on.
    usable = max(1, min(own, slots.total - (outlook.busy - outlook.busy_of_tenant)))
    before = outlook.ahead - max(free, 0)
    rounds = 0.5 + math.floor(before / usable)
    return now + timedelta(seconds=rounds * median(outlook.recent_seconds))
