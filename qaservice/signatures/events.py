"""What the record says about electronic signatures."""

from compliance.recording import register_event

OWN_PREFIX = "signature."
FACTOR_REVOKED = "signature.factor-revoked"
GIVEN = "signature.given"
PREPARED = "signature.prepared"

register_event(
    "signature.certified", "The site's certification to FDA of its electronic signatures was noted", "REQ-26"
)
register_event("signature.attested", "A person attested that they answer for their signatures", "REQ-19")
register_event("signature.factor-enrolled", "A second factor was handed out, not yet confirmed", "REQ-26")
register_event("signature.factor-confirmed", "A second factor was confirmed by a code", "REQ-26")
register_event(FACTOR_REVOKED, "A second factor was revoked", "REQ-26")
register_event(PREPARED, "A record was put before a person to be signed", "REQ-27")
register_event(GIVEN, "A record was signed", "REQ-22")
