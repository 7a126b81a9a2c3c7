"""What the record says about labels."""

from compliance.recording import register_event

register_event("guideline.published", "A version of the labelling guideline was published", "REQ-20")
register_event("reader.identified", "A reader named in a source was linked to an account", "REQ-16")
register_event("annotations.imported", "Annotation sets were imported from a source file", "REQ-17")
register_event("annotations.renamed", "Held labels were understood anew under the project's terms", "REQ-20")
register_event("reference.opened", "A reference standard was opened for a series", "REQ-32")
register_event(
    "reference.corrected", "A consensus was carried to the reference standard, or found there already", "REQ-11"
)
register_event("labels.exported", "A dataset version's labels were written out and handed over", "REQ-03")
register_event("dataset.versioned", "A dataset version was fixed", "REQ-20")
