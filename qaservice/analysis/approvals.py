"""Whether a foreign bundle's code may run in a project: decided by people, for one digest, on the record."""

from __future__ import annotations

from django.db.models import Max, QuerySet

from compliance.recording import OPERATOR, SYSTEM, Actor, change
from qaservice.analysis.models import ApprovalDecision, ModelApproval, QAModel
from qaservice.common.errors import Conflict, NotPermitted
from qaservice.projects.models import Project


def decisions_on(*, project: Project, model: QAModel) -> QuerySet[ModelApproval]:
    """Return a project's decisions on a model, newest first, each with its event (who, when, why)."""
    return ModelApproval.objects.filter(project=project, model=model).select_related("event").order_by("-sequence")


def standing_approval(*, project: Project, model: QAModel) -> ModelApproval | None:
    """Return the approval that lets a model run in a project; None where there is none or it was withdrawn."""
    last = decisions_on(project=project, model=model).first()
    if last is None or last.decision != ApprovalDecision.APPROVED or last.bundle_sha256 != model.bundle_sha256:
        return None
    return last


def approved_models(*, project: Project) -> list[QAModel]:
    """Return the foreign bundles that may run in a project, by name."""
    known = QAModel.objects.filter(foreign=True, approvals__project=project).distinct().order_by("name", "version")
    return [model for model in known if standing_approval(project=project, model=model) is not None]


def require_runnable(*, project: Project, model: QAModel) -> None:
    """Raise Conflict ``model-not-approved`` where a foreign bundle has no standing approval here; others need none."""
    if model.foreign and standing_approval(project=project, model=model) is None:
        raise Conflict(
            f"{model} is other people's code and has no standing approval in this project", code="model-not-approved"
        )


def obstacles(model: QAModel) -> list[str]:
    """Return why a model cannot be approved by anybody: what is wrong with the bundle itself."""
    if not model.foreign:
        return ["only bundles that others made are approved"]
    weights = model.inspection.get("weight_check", {})
    found = list(model.inspection.get("problems", []))
    found += [f"{name}: {why}" for name, why in sorted(weights.get("files", {}).items()) if why]
    if not weights.get("done"):
        found.append(f"its weights could not be checked: {weights.get('why') or 'no check was made'}")
    return found


def may_not_approve(*, project: Project, model: QAModel, actor: Actor) -> str:
    """Return why this person must not approve this model here, "" where they may.

    Code is approved by people. In a regulated project it is somebody else than who registered it, and somebody who
    has logged in: whoever may only reach the server's command line is no one by name.
    """
    if actor.simulated or actor.id == SYSTEM.id:
        return "code is approved by people, not by machines"
    if project.regulated and actor.id == OPERATOR.id:
        return "in a regulated project a person who has logged in approves; the server's operator has no name"
    if project.regulated and actor.id == model.event.actor_id:
        return "in a regulated project somebody else approves than who registered the model"
    return ""


def approve_model(*, project: Project, model: QAModel, bundle_sha256: str, actor: Actor, reason: str) -> ModelApproval:
    """Approve that a foreign bundle's code runs in this project. The caller has seen to the role.

    ``bundle_sha256``: the digest of what the deciding person looked at. Raises Conflict where that is not the
    model's, the bundle has faults, or it is approved already; NotPermitted where this person must not.
    """
    if bundle_sha256.strip().lower() != model.bundle_sha256:
        raise Conflict("what you looked at is not the model that is registered", code="model-digest-differs")
    faults = obstacles(model)
    if faults:
        raise Conflict(f"{model} cannot be approved: {'; '.join(faults)}", code="model-not-approvable")
    why_not = may_not_approve(project=project, model=model, actor=actor)
    if why_not:
        raise NotPermitted(why_not, code="approver-not-independent")
    return _decide(project=project, model=model, decision=ApprovalDecision.APPROVED, actor=actor, reason=reason)


def withdraw_approval(*, project: Project, model: QAModel, actor: Actor, reason: str) -> ModelApproval:
    """Take a project's approval back: what runs stops at its next series, and no new run begins. Raises Conflict."""
    return _decide(project=project, model=model, decision=ApprovalDecision.WITHDRAWN, actor=actor, reason=reason)


_EVENTS = {
    ApprovalDecision.APPROVED: "model.approved",
    ApprovalDecision.WITHDRAWN: "model.approval-withdrawn",
}


def _decide(
    *, project: Project, model: QAModel, decision: ApprovalDecision, actor: Actor, reason: str
) -> ModelApproval:
    made = ModelApproval(project=project, model=model, decision=decision, bundle_sha256=model.bundle_sha256)
    with change(
        _EVENTS[decision],
        actor=actor,
        reason=reason,
        subject=("model", str(model.pk)),
        project_key=project.key,
        payload={"bundle_sha256": model.bundle_sha256, "name": model.name, "version": model.version},
    ):
        # Two decisions at one time are two decisions one after the other.
        Project.objects.select_for_update().get(pk=project.pk)
        approved = standing_approval(project=project, model=model) is not None
        if approved == (decision is ApprovalDecision.APPROVED):
            state = "approved already" if approved else "not approved"
            raise Conflict(f"{model} is {state} in this project", code="approval-unchanged")
        last = decisions_on(project=project, model=model).aggregate(last=Max("sequence"))["last"]
        made.sequence = (last or 0) + 1
        made.save()
    return made
