"""What the record says about review."""

from compliance.recording import register_event

register_event("assignment.made", "A reader was asked to look at a flag", "REQ-32")
register_event("assignment.released", "A flag was settled without this reader's verdict", "REQ-32")
register_event("read.opened", "A reader opened a case; images were viewed", "REQ-40")
register_event("opinions.revealed", "The model's and other readers' opinions were shown", "REQ-33")
register_event("verdict.given", "A reader gave a verdict", "REQ-32")
