"""What the record says about projects."""

from compliance.recording import register_event

register_event("project.created", "A project was opened with its protocol", "REQ-20")
register_event("project.changed", "A project's protocol or title was changed", "REQ-20")
register_event("project.policies-changed", "What a project lets pass at intake was changed", "REQ-20")
register_event("project.rules-set", "A project's own rules for its labels were set", "REQ-20")
register_event("project.closed", "A project was closed")
register_event("membership.reviewed", "Somebody looked whether a person still needs a role", "REQ-29")
register_event("training.recorded", "A person was trained for a project", "REQ-18")
register_event("training.withdrawn", "A record of training was taken back", "REQ-18")
register_event("access.register-exported", "The register of who had access was taken out as a file", "REQ-40")
register_event("membership.granted", "A person was given a role in a project", "REQ-06")
register_event("membership.withdrawn", "A person's role in a project was withdrawn", "REQ-06")
