"""Models as people decide about them: what a bundle says of itself, its code, its files, and its approval here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from compliance.recording import Actor
from qaservice.analysis.approvals import decisions_on, may_not_approve, obstacles, standing_approval
from qaservice.analysis.models import QAModel
from qaservice.analysis.selectors import models_known
from qaservice.projects.models import Project

SHIPPED, APPROVED, WAITING, FAULTY = "shipped", "approved", "not-approved", "cannot-be-approved"


@dataclass(frozen=True)
class Decision:
    """One decision on a model in a project: what, who, when, why."""

    decision: str
    person: str
    role: str
    moment: datetime
    reason: str
    bundle_sha256: str


@dataclass(frozen=True)
class ModelView:
    """One model in one project. ``state``: shipped, approved, not-approved or cannot-be-approved.

    ``code`` holds the places of its configurations that are code, first those with warnings, each part in the order of
    the files; references to other places are left out. ``why_not`` is why the person who looks may not approve it, ""
    where they may.
    """

    id: str
    name: str
    version: str
    bundle_sha256: str
    state: str
    foreign: bool
    registered_by: str
    registered_at: datetime
    task: str
    description: str
    authors: str
    copyright: str
    intended_use: str
    training_data: str
    model_card: str
    licences: Sequence[Sequence[str]]
    packages: Sequence[Sequence[str]]
    configuration: str
    mapping: dict[str, Any] | None
    weights: dict[str, Any]
    code: list[dict[str, Any]]
    code_files: list[dict[str, Any]]
    files: list[dict[str, Any]]
    faults: list[str]
    remarks: list[str]
    decisions: list[Decision]
    why_not: str

    @property
    def warned(self) -> int:
        """Number of places of code that a reader should look at twice."""
        return sum(1 for place in self.code if place["capabilities"])


def model_views(*, project: Project, looking: Actor) -> list[ModelView]:
    """Return every model that is registered at this site, as it stands in a project."""
    return [model_view(model=model, project=project, looking=looking) for model in models_known()]


def model_view(*, model: QAModel, project: Project, looking: Actor) -> ModelView:
    """Return one model as it stands in a project, for a person who may decide about it."""
    found = model.inspection
    described = found.get("described", {})
    metadata = model.metadata

    def said(key: str) -> str:
        return str(described.get(key) or metadata.get(key) or "")

    return ModelView(
        id=str(model.pk),
        name=model.name,
        version=model.version,
        bundle_sha256=model.bundle_sha256,
        state=_state(model, project),
        foreign=model.foreign,
        registered_by=model.event.actor_name,
        registered_at=model.event.occurred_at,
        task=said("task"),
        description=said("description"),
        authors=said("authors"),
        copyright=said("copyright"),
        intended_use=said("intended_use"),
        training_data=said("training_data") or said("data_source"),
        model_card=model.model_card,
        licences=described.get("licences", []),
        packages=described.get("packages", []),
        configuration=str(found.get("configuration", "")),
        mapping=found.get("mapping"),
        weights=found.get("weight_check", {}),
        code=sorted(
            (place for place in found.get("code", []) if place["kind"] != "reference"),
            key=lambda place: not place["capabilities"],
        ),
        code_files=found.get("code_files", []),
        files=list(model.files),
        faults=obstacles(model) if model.foreign else [],
        remarks=list(found.get("remarks", [])),
        decisions=[
            Decision(
                decision=row.decision,
                person=row.event.actor_name,
                role=row.event.actor_role,
                moment=row.event.occurred_at,
                reason=row.event.reason,
                bundle_sha256=row.bundle_sha256,
            )
            for row in decisions_on(project=project, model=model)
        ],
        why_not=may_not_approve(project=project, model=model, actor=looking),
    )


def _state(model: QAModel, project: Project) -> str:
    if not model.foreign:
        return SHIPPED
    if obstacles(model):
        return FAULTY
    return APPROVED if standing_approval(project=project, model=model) else WAITING
