"""What tests of the service share: a data folder of their own, and a project to work in."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytest_django import Settings

from compliance.recording import SYSTEM
from qaservice.projects.models import Project
from qaservice.projects.services import create_project


@pytest.fixture(autouse=True)
def own_data_folder(tmp_path: Path, settings: Settings) -> Path:
    """Blobs, caches and uploads of one test; nobody else's are seen or touched."""
    folder = tmp_path / "data"
    settings.DATA_DIR = folder
    settings.BLOB_DIR = folder / "blobs"
    settings.DERIVED_DIR = folder / "derived"
    settings.BROKER_DIR = folder / "broker"
    settings.IDENTITY_KEY_FILE = folder / "identity-key"
    settings.LEDGER_KEY_FILE = folder / "ledger-key"
    settings.CHECKPOINT_DIR = folder / "checkpoints"
    return folder


@pytest.fixture
def project(db: None) -> Project:
    """An open project."""
    return create_project(key="lung-1", title="Lung project", actor=SYSTEM, reason="a test needs one")
