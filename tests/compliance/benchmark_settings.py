"""These settings, on the database and with the folder that the environment names: for the record's benchmark."""

import os
from pathlib import Path

from tests.compliance.settings import *  # noqa: F403  # all of them
from tests.plugins.postgres import django_settings

DATABASES = {"default": django_settings(os.environ["BENCH_DATABASE_URL"])}
CHECKPOINT_DIR = Path(os.environ["BENCH_FOLDER"]) / "checkpoints"
LEDGER_KEY_FILE = Path(os.environ["BENCH_FOLDER"]) / "ledger-key"
CHECKPOINT_SECONDS = 0
