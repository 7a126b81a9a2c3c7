"""The job that makes a report somebody asked for."""

from __future__ import annotations

from compliance.models import Event
from compliance.recording import Actor
from qaservice.jobs.registry import JobContext, executor
from qaservice.projects.models import Project
from qaservice.reports.services import EXPORT_KIND, export_report


@executor(EXPORT_KIND)
def make_report(context: JobContext) -> None:
    """Make the report that an event asked for, in the name and for the reason that the event records."""
    request = Event.objects.get(pk=context.subject_id)
    export_report(
        project=Project.objects.get(pk=request.subject_id),
        actor=Actor(id=request.actor_id, name=request.actor_name, role=request.actor_role, simulated=request.simulated),
        reason=request.reason,
        progress=context.progress,
        complete=context.complete,
    )
