"""What the record says about stored bytes. Blobs enter inside the events of those who store them."""

from compliance.recording import register_event

register_event("storage.derived-cleared", "Evictable derived data was cleared")
