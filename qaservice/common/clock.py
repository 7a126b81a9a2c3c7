"""The one source of time: the server's clock, in UTC (REQ-12). No record takes its time from a client."""

from datetime import UTC, datetime


def now() -> datetime:
    """Return the current time, aware, in UTC."""
    return datetime.now(tz=UTC)


def iso(moment: datetime) -> str:
    """Return ``moment`` as an ISO 8601 string in UTC with microseconds, as records and kits hold it."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
