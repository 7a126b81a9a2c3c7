"""What the record says about accounts."""

from compliance.recording import register_event

register_event("account.created", "An account was opened", "REQ-06")
register_event("account.changed", "An account's particulars were changed", "REQ-06")
register_event("account.deactivated", "An account was closed; its name is never issued again", "REQ-25")
register_event("account.token-issued", "A bearer token was issued", "REQ-06")
register_event("account.login", "A person logged in", "REQ-07")
register_event("account.login-failed", "A login was refused", "REQ-07")
