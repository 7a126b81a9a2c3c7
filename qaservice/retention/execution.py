"""The housekeeping: looks outside, and finishes destructions that were cut short or waited for a hold."""

from __future__ import annotations

from qaservice.jobs.registry import housekeeping
from qaservice.retention import destruction, watch


@housekeeping
def look_outside() -> None:
    """Copy, have time-stamped and compare clocks, once a minute over all workers."""
    watch.watch_outside()


@housekeeping
def finish_destructions() -> None:
    """Destroy what is ordered and still there."""
    destruction.finish()
