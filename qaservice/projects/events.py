"""What the record says about projects."""

from compliance.recording import register_event

register_event("project.created", "A project was opened with its protocol", "REQ-20")
register_event("project.changed", "A project's protocol or title was changed", "REQ-20")
register_event("project.policies-changed", "What a project lets pass at intake was changed", "REQ-20")
register_event("project.rules-set", "A project's own rules for its labels were set", "REQ-20")
register_event("project.closed", "A project was closed")
register_event("membership.granted", "A person was given a role in a project", "REQ-06")
register_event("membership.withdrawn", "A person's role in a project was withdrawn", "REQ-06")
