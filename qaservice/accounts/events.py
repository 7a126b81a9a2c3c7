"""What the record says about accounts."""

from compliance.recording import register_event

register_event("account.created", "An account was opened", "REQ-06")
register_event("account.changed", "An account's particulars were changed", "REQ-06")
register_event("account.deactivated", "An account was closed; its name is never issued again", "REQ-25")
register_event("account.reopened", "A closed account was opened again, for the same person", "REQ-25")
register_event("account.token-issued", "A bearer token was issued", "REQ-06")
register_event("account.token-revoked", "A bearer token was revoked", "REQ-29")
register_event("account.login", "A person logged in", "REQ-07")
register_event("account.logout", "A person logged out", "REQ-07")
register_event("account.session-ended", "A session was ended, by somebody or by time", "REQ-07")
register_event("account.login-failed", "A login was refused", "REQ-07")
register_event("account.signing-failed", "A signing was refused", "REQ-29")
register_event("account.locked", "Repeated failures locked an account, a name or an address for a time", "REQ-07")
register_event("account.unlocked", "An administrator lifted a lock", "REQ-07")
register_event("account.password-changed", "A person changed their own password", "REQ-29")
register_event("account.password-reset", "An administrator gave somebody a temporary password", "REQ-28")
register_event("identity.recorded", "A person's identity was verified", "REQ-26")
register_event("identity.withdrawn", "The verification of a person's identity no longer stands", "REQ-26")
register_event("alert.raised", "Something happened that an administrator has to look at", "REQ-29")
register_event("alert.acknowledged", "An administrator looked at an alert", "REQ-29")
