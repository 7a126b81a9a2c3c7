"""A populated project of the real service: every table that the record watches has rows, sealed and under checkpoints.

Built once a session and database; each module works on a copy.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from django.db import models
from django.test import override_settings

from compliance.base import VersionedModel
from compliance.checkpoints import publish, rotate_key
from compliance.models import Event
from compliance.recording import change, record_event
from compliance.redaction import redact
from compliance.registry import TableClass, models_of
from tests.factories.records import make_site
from tests.matrices.rows import FILLER, KIND, REASON, record, record_together, step

TOGETHER = 3
# Past the first kept subtree of the tree, so that its table has rows too.
SEALED = 270


@dataclass(frozen=True)
class Place:
    """Where a populated project keeps its files: blobs, the key, and the checkpoints."""

    folder: Path

    @contextmanager
    def in_force(self) -> Iterator[None]:
        """Let the settings name this place."""
        with override_settings(
            DATA_DIR=self.folder,
            BLOB_DIR=self.folder / "blobs",
            DERIVED_DIR=self.folder / "derived",
            BROKER_DIR=self.folder / "broker",
            IDENTITY_KEY_FILE=self.folder / "identity-key",
            LEDGER_KEY_FILE=self.folder / "ledger-key",
            CHECKPOINT_DIR=self.checkpoints,
            CHECKPOINT_SECONDS=0,
        ):
            yield

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    def copied_to(self, folder: Path) -> Place:
        return Place(Path(shutil.copytree(self.folder, folder, dirs_exist_ok=True)))


def populate() -> None:
    """Fill the database in force: a project by the services, then rows of every table, a redaction, two keys."""
    make_site(flags=2)
    for model in models_of(TableClass.VERSIONED):
        for _ in range(_rows_of(model)):
            step(record(model))
    for model in models_of(TableClass.WRITE_ONCE):
        for _ in range(_rows_of(model)):
            record(model)
        record_together(model, TOGETHER)
    publish()
    said(file="a name", count=1)
    redact(event_id=said(file="another name", count=2), fields=["file"], actor=FILLER, reason="a person's name")
    rotate_key(actor=FILLER, reason="once a year")
    while models.QuerySet(Event).count() < SEALED:
        said(count=3)
    publish()
    # What nobody vouches for yet.
    record(models_of(TableClass.WRITE_ONCE)[0])
    said(count=4)


def _rows_of(model: type[models.Model]) -> int:
    """Return how many rows a table gets: two, and more for a wide one, whose columns are altered in turn."""
    return 2 + len(model._meta.concrete_fields) // 8


def said(**payload: object) -> object:
    """Record an event without rows, and return its id."""
    return record_event(KIND, actor=FILLER, reason=REASON, subject=("matrix", "1"), payload=payload)


def touch(row: VersionedModel) -> None:
    """Record a change in which a row takes part; used to continue the story."""
    with change(KIND, actor=FILLER, reason=REASON, subject=("matrix", "2")):
        step(row)
