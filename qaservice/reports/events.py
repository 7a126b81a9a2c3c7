"""What the record says about reports."""

from compliance.recording import register_event

register_event("report.requested", "A validation report was asked for", "REQ-03")
register_event("report.exported", "A validation report was made from a dataset version and a ledger head", "REQ-03")
register_event("proof.exported", "A proof card of one record was handed out", "REQ-03")
register_event("kit.exported", "An evidence kit was handed out", "REQ-03")
