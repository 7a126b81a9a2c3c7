"""What the record says about keeping and destroying."""

from compliance.recording import register_event

register_event("retention.schedule-set", "A project's retention schedule was set", "REQ-41")
register_event("retention.hold-placed", "A legal hold was placed", "REQ-41")
register_event("retention.hold-lifted", "A legal hold was lifted", "REQ-41")
register_event("retention.use-recorded", "What a study may be used for was recorded", "REQ-42")
register_event("retention.consent-withdrawn", "Consent to the use of a study was withdrawn", "REQ-42")
register_event("retention.disposition-proposed", "Destroying what need not be kept any more was proposed", "REQ-41")
register_event("retention.disposition-approved", "A second person approved a disposition", "REQ-41")
register_event("retention.disposition-dropped", "A proposed disposition was dropped", "REQ-41")
register_event("retention.disposition-carried-out", "A disposition was carried out", "REQ-41")
register_event("retention.destruction-ordered", "Pixel data are to be destroyed; names their digests", "REQ-42")
register_event("retention.destroyed", "Pixel data were destroyed, and looked for in vain", "REQ-42")
