from compliance.recording import register_event

register_event("case.opened", "A case was opened", "REQ-08")
register_event("case.changed", "A case was changed", "REQ-08")
register_event("case.viewed", "A case was looked at", "REQ-40")
register_event("slices.stored", "Slices of a case were stored", "REQ-17")
