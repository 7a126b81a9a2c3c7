"""What the record says about studies."""

from compliance.recording import register_event

register_event("ingest.received", "A delivery was announced", "REQ-17")
register_event("ingest.opened", "A delivery was opened, into which instances are pushed", "REQ-17")
register_event("ingest.closed", "Nothing more is pushed into a delivery; it is read now", "REQ-17")
register_event("ingest.retried", "Kept files of a delivery are tried again", "REQ-17")
register_event("ingest.started", "A worker began to read a delivery")
register_event("ingest.files-judged", "Files of a delivery that belong to no series were judged", "REQ-17")
register_event("ingest.completed", "A delivery was read to its end; every file has an outcome", "REQ-17")
register_event("ingest.failed", "A delivery could not be read", "REQ-17")
register_event("identity.key-made", "A project got the secret by which it replaces identities", "REQ-17")
register_event("identity.removed", "Files were de-identified; counts what was done by element, no value", "REQ-17")
register_event("identity.revealed", "Somebody looked up who stands behind a pseudonym", "REQ-17")
register_event("study.registered", "A study was seen for the first time", "REQ-17")
register_event("series.ingested", "Instances of a series were stored; carries their Merkle root", "REQ-17")
register_event("series.assessed", "The geometry gate gave its verdict on a series", "REQ-17")
register_event("images.viewed", "A person looked at a series' images", "REQ-40")
