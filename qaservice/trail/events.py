"""What the record says about those who read it."""

from compliance.recording import register_event

EXPORTED = "trail.exported"
RECORD_EXPORTED = "record.exported"
DATA_VIEWED = "data.viewed"

register_event(EXPORTED, "A part of the trail, or the register of looks, was handed out", "REQ-03")
register_event(RECORD_EXPORTED, "The life of one record was handed out", "REQ-03")
register_event(DATA_VIEWED, "A person was shown a page with identifying data", "REQ-40")
