"""What the record says about models, runs and flags."""

from compliance.recording import register_event

register_event("model.registered", "A QA model was registered, pinned by its digest", "REQ-36")
register_event("model.approved", "A project approved that a foreign bundle's code may run", "REQ-20")
register_event("model.approval-withdrawn", "A project withdrew its approval of a foreign bundle", "REQ-20")
register_event("run.requested", "An analysis run was requested", "REQ-20")
register_event("run.started", "A worker began an analysis run")
register_event("run.completed", "An analysis run ended; every series has a result", "REQ-36")
register_event("run.failed", "An analysis run failed")
register_event("run.cancelled", "An analysis run was cancelled")
register_event("series.analysed", "A run's result on one series was stored", "REQ-36")
register_event("flag.raised", "A check raised a flag", "REQ-36")
register_event("flag.observed", "A later run saw a known flag again", "REQ-36")
register_event("flag.settled", "A consensus settled a flag", "REQ-14")
register_event("flag.disputed", "Readers disagree on a flag; it stays open and visible", "REQ-32")
register_event("flag.reopened", "A settled flag was opened again, with a reason", "REQ-11")
register_event("golden.added", "A series with known truth entered the golden set", "REQ-32")
register_event("golden.withdrawn", "A golden case was withdrawn", "REQ-32")
register_event("golden.read", "A model looked at a golden case to be measured")
register_event("fitness.requested", "An evaluation of a model on the golden set was asked for")
register_event("fitness.evaluated", "A model was measured on the golden set and judged by the project's threshold")
register_event("flags.released", "A QA lead let readers be asked about flags of a model that is not proven", "REQ-13")
