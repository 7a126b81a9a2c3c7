"""Setting schedules, placing holds, recording uses and withdrawals, and disposing of what need not be kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import date

from compliance.recording import Actor, Change, change, current_change
from qaservice.accounts.models import User
from qaservice.common.clock import now
from qaservice.common.errors import Conflict, InvalidInput, NotPermitted
from qaservice.common.transitions import amend, step
from qaservice.projects.models import Project
from qaservice.retention import destruction
from qaservice.retention.models import (
    DataUse,
    Destruction,
    Disposition,
    DispositionStudy,
    LegalHold,
    Purpose,
    RecordClass,
    RetentionSchedule,
)
from qaservice.retention.selectors import current_schedule, holds_on, kept_until, use_of
from qaservice.retention.states import DISPOSITION
from qaservice.studies.models import RemovalCause, Study

MOST_YEARS = 100


def set_schedule(
    *, project: Project, entries: Mapping[str, Mapping[str, object]], actor: Actor, reason: str
) -> RetentionSchedule:
    """Set a project's schedule as its next version: years and basis for every record class.

    Raises InvalidInput for a class that is missing or unknown, years that are no whole number from 1 to 100, or a blank
    basis.
    """
    if set(entries) != set(RecordClass.values):
        raise InvalidInput(f"a schedule says how long for each of: {', '.join(RecordClass.values)}", code="classes")
    document = {name: _checked(name, entries[name]) for name in RecordClass.values}
    with change(
        "retention.schedule-set",
        actor=actor,
        reason=reason,
        subject=("project", str(project.pk)),
        project_key=project.key,
    ) as running:
        last = current_schedule(project)
        number = 1 if last is None else last.number + 1
        running.payload.update({"number": number, "entries": document})
        schedule = RetentionSchedule(project=project, number=number, entries=document)
        schedule.save()
    return schedule


def place_hold(*, project: Project, study: Study | None, matter: str, actor: Actor, reason: str) -> LegalHold:
    """Place a legal hold on a project, or on one study. Raises InvalidInput for a blank matter."""
    if not matter.strip():
        raise InvalidInput("say what the hold is about, as the site refers to it", code="matter-missing")
    hold = LegalHold(project=project, study=study, matter=matter.strip()[:200])
    with change(
        "retention.hold-placed",
        actor=actor,
        reason=reason,
        subject=("legal-hold", str(hold.pk)),
        project_key=project.key,
        payload={"matter": hold.matter, "study": "" if study is None else str(study.pk)},
    ):
        hold.save()
    return hold


def lift_hold(*, hold: LegalHold, actor: Actor, reason: str) -> LegalHold:
    """Lift a legal hold; a withdrawal that waited for it is carried out by the housekeeping. Raises Conflict."""
    if hold.lifted_at is not None:
        raise Conflict("this hold was lifted before", code="already-lifted")
    with change(
        "retention.hold-lifted",
        actor=actor,
        reason=reason,
        subject=("legal-hold", str(hold.pk)),
        project_key=hold.project.key,
        payload={"matter": hold.matter},
    ):
        return amend(hold, expected_revision=hold.revision, changes={"lifted_at": now()})


def record_use(
    *, study: Study, purposes: Sequence[str], basis: str, until: date | None, actor: Actor, reason: str
) -> DataUse:
    """Record what a study may be used for. Raises InvalidInput, or Conflict once the consent was withdrawn."""
    wanted = sorted(set(purposes))
    unknown = sorted(set(wanted) - set(Purpose.values))
    if unknown or not wanted:
        raise InvalidInput(f"a use is one or more of: {', '.join(Purpose.values)}", code="no-such-purpose")
    if not basis.strip():
        raise InvalidInput("say on what basis: the consent form with its version, a waiver, a contract", code="basis")
    known = use_of(study)
    if known is not None and known.withdrawn_at is not None:
        raise Conflict("the consent was withdrawn, and its images are held no more", code="withdrawn")
    values: dict[str, object] = {"purposes": wanted, "basis": basis.strip()[:200], "until": until}
    with _about(study, "retention.use-recorded", actor, reason) as running:
        running.payload.update({"purposes": wanted, "basis": basis.strip()[:200], "until": str(until or "")})
        if known is not None:
            return amend(known, expected_revision=known.revision, changes=values)
        use = DataUse(study=study, purposes=wanted, basis=basis.strip()[:200], until=until)
        use.save()
    return use


def withdraw_consent(*, study: Study, actor: Actor, reason: str) -> Destruction | None:
    """Withdraw the consent to a study's use: from now on nobody reads its pixel data, and they are destroyed.

    Under a legal hold they are destroyed once it is lifted; then, and where they were disposed of before, None is
    returned. Raises Conflict where the consent was withdrawn before. Not for use inside a transaction.
    """
    known = use_of(study)
    if known is not None and known.withdrawn_at is not None:
        raise Conflict("the consent was withdrawn before", code="already-withdrawn")
    held = holds_on(study).exists()
    with _about(study, "retention.consent-withdrawn", actor, reason) as running:
        running.payload["held"] = held
        moment = now()
        if known is None:
            DataUse(study=study, purposes=[], basis="none recorded before the withdrawal", withdrawn_at=moment).save()
        else:
            amend(known, expected_revision=known.revision, changes={"withdrawn_at": moment, "purposes": []})
        destruction.remove_access(study=study, cause=RemovalCause.WITHDRAWN)
    if held or Destruction.objects.filter(study=study).exists():
        return None
    ordered = destruction.order(study=study, cause=RemovalCause.WITHDRAWN, disposition=None, actor=actor, reason=reason)
    return destruction.carry_out(ordered)


def propose(*, project: Project, studies: Sequence[Study], by: User, actor: Actor, reason: str) -> Disposition:
    """Propose to destroy the images of studies that need not be kept any more.

    Raises Conflict naming a study that is within its time of keeping, under a legal hold, or destroyed before.
    """
    if not studies:
        raise InvalidInput("name the studies whose images are to be destroyed", code="no-studies")
    schedule = current_schedule(project)
    if schedule is None:
        raise Conflict("this project has no retention schedule, so everything is kept", code="no-schedule")
    for study in studies:
        _require_disposable(study, schedule)
    disposition = Disposition(project=project, schedule=schedule, proposed_by=by)
    with change(
        "retention.disposition-proposed",
        actor=actor,
        reason=reason,
        subject=("disposition", str(disposition.pk)),
        project_key=project.key,
        payload={"studies": len(studies), "schedule": schedule.number},
    ):
        disposition.save()
        rows = [DispositionStudy(disposition=disposition, study=study) for study in studies]
        DispositionStudy.objects.record_many(rows, current_change(), root_label="studies")
    return disposition


def approve(*, disposition: Disposition, by: User, actor: Actor, reason: str) -> Disposition:
    """Approve a disposition that somebody else proposed. Raises NotPermitted, or Conflict as ``propose`` does."""
    if by.pk == disposition.proposed_by_id:
        raise NotPermitted("who proposed a disposition does not approve it: ask a colleague", code="same-person")
    if by.is_simulated:
        raise NotPermitted("a simulated actor approves nothing", code="simulated")
    _require_all_disposable(disposition)
    return _stepped(disposition, "approve", "approved", actor, reason, {"approved_by": by})


def drop(*, disposition: Disposition, actor: Actor, reason: str) -> Disposition:
    """Drop a disposition that was not carried out."""
    return _stepped(disposition, "drop", "dropped", actor, reason, {})


def carry_out(*, disposition: Disposition, actor: Actor, reason: str) -> Disposition:
    """Destroy the images of an approved disposition, and record study by study what was destroyed.

    Everything is looked at again first: a hold or a longer schedule since the approval stops it. Raises Conflict. Not
    for use inside a transaction.
    """
    _require_all_disposable(disposition)
    done = _stepped(disposition, "carry-out", "carried-out", actor, reason, {})
    for row in disposition.studies.select_related("study__project").order_by("pk"):
        ordered = destruction.order(
            study=row.study, cause=RemovalCause.DISPOSED, disposition=done, actor=actor, reason=reason
        )
        destruction.carry_out(ordered)
    return done


def _stepped(
    disposition: Disposition, name: str, word: str, actor: Actor, reason: str, changes: Mapping[str, object]
) -> Disposition:
    with change(
        f"retention.disposition-{word}",
        actor=actor,
        reason=reason,
        subject=("disposition", str(disposition.pk)),
        project_key=disposition.project.key,
        payload={"studies": disposition.studies.count()},
    ):
        return step(
            disposition, machine=DISPOSITION, name=name, expected_revision=disposition.revision, changes=changes
        )


def _require_all_disposable(disposition: Disposition) -> None:
    schedule = current_schedule(disposition.project) or disposition.schedule
    for row in disposition.studies.select_related("study__event"):
        _require_disposable(row.study, schedule)


def _require_disposable(study: Study, schedule: RetentionSchedule) -> None:
    hold = holds_on(study).first()
    uid = study.study_instance_uid
    if hold is not None:
        raise Conflict(f"study {uid} is under a legal hold ({hold.matter}): nothing was destroyed", code="legal-hold")
    last = kept_until(study, schedule)
    if last >= now().date():
        raise Conflict(
            f"study {uid} has to be kept until {last}, by version {schedule.number} of the schedule: nothing was "
            "destroyed",
            code="within-retention",
        )
    if Destruction.objects.filter(study=study).exists():
        raise Conflict(f"the images of study {uid} were destroyed before", code="already-destroyed")


def _checked(name: str, entry: Mapping[str, object]) -> dict[str, object]:
    years, basis = entry.get("years"), str(entry.get("basis") or "").strip()
    if isinstance(years, bool) or not isinstance(years, int) or not 1 <= years <= MOST_YEARS:
        raise InvalidInput(f"{name}: the years are a whole number from 1 to {MOST_YEARS}", code="years")
    if not basis:
        raise InvalidInput(f"{name}: say on what basis, such as the law or the contract", code="basis")
    return {"years": years, "basis": basis[:300]}


def _about(study: Study, kind: str, actor: Actor, reason: str) -> AbstractContextManager[Change]:
    subject = ("study", str(study.pk))
    return change(kind, actor=actor, reason=reason, subject=subject, project_key=study.project.key)
