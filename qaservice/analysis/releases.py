"""Letting readers be asked about flags that rest on an unproven model: a QA lead's decision, with a reason."""

from __future__ import annotations

from collections.abc import Sequence

from compliance.recording import Actor, change
from qaservice.analysis.models import Flag, FlagRelease
from qaservice.analysis.selectors import latest_observation
from qaservice.analysis.standing import held_flags
from qaservice.common.errors import Conflict
from qaservice.projects.models import Project


def release_flags(
    *, project: Project, actor: Actor, reason: str, flags: Sequence[Flag] | None = None
) -> list[FlagRelease]:
    """Release held flags of a project: those given, or all. Evidence that comes later is held back anew.

    Raises Conflict ``nothing-held`` where none of them is held.
    """
    held = list(held_flags(project=project))
    if flags is not None:
        wanted = {flag.pk for flag in flags}
        held = [flag for flag in held if flag.pk in wanted]
    if not held:
        raise Conflict("no flag is held back here", code="nothing-held")
    made = [FlagRelease(flag=flag, observation=latest_observation(flag=flag)) for flag in held]
    with change(
        "flags.released",
        actor=actor,
        reason=reason,
        subject=("project", str(project.pk)),
        project_key=project.key,
        payload={"flags": [flag.number for flag in held]},
    ):
        for one in made:
            one.save()
    return made
