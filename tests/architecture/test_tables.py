"""Every table belongs to exactly one of three classes: versioned, write-once, operational."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.db import models

from compliance.base import OperationalModel, VersionedModel, WriteOnceModel
from compliance.models import LedgerTable

# The ledger's own two tables are written past the guards that it puts before everybody else.
CLASSES = (VersionedModel, WriteOnceModel, OperationalModel, LedgerTable)
OURS = ("qaservice.", "compliance.")


def _our_models() -> list[type[models.Model]]:
    """Return the concrete models that this project wrote; history tables are made by django-simple-history."""
    return [
        model
        for model in apps.get_models(include_auto_created=True)
        if model.__module__.startswith(OURS) and not hasattr(model, "history_id")
    ]


@pytest.mark.requirement("REQ-08")
def test_every_model_belongs_to_exactly_one_class_of_table() -> None:
    ours = _our_models()
    assert len(ours) > 15
    wrong = {
        model._meta.label: [table.__name__ for table in CLASSES if issubclass(model, table)]
        for model in ours
        if sum(issubclass(model, table) for table in CLASSES) != 1
    }
    assert wrong == {}


@pytest.mark.requirement("REQ-08")
def test_every_versioned_model_has_history_with_the_columns_that_cannot_be_added_later() -> None:
    for model in _our_models():
        if issubclass(model, VersionedModel):
            columns = {field.attname for field in model.history.model._meta.concrete_fields}  # type: ignore[attr-defined]
            missing = {"txid", "event_id", "actor_id", "actor_name", "actor_role", "reason"} - columns
            assert missing == set(), model._meta.label


def test_nothing_that_is_evidence_can_be_deleted_by_a_cascade() -> None:
    cascading = [
        f"{model._meta.label}.{field.name}"
        for model in _our_models()
        if not issubclass(model, OperationalModel)
        for field in model._meta.get_fields()
        if isinstance(field, models.ForeignKey) and field.remote_field.on_delete is not models.PROTECT
    ]
    assert cascading == []
