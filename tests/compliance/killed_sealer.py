"""Seals one event after another until it is killed: ``killed_sealer.py DATABASE_URL_OR_FILE``."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def main(where: str) -> None:
    """Seal what waits, two events at a time, say so after each commit, and go on when told to."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.compliance.settings"
    import django

    django.setup()
    # Importable only once the settings are known.
    from compliance.sealing import seal, unsealed_count
    from tests.compliance.databases import in_use, sqlite_settings
    from tests.plugins.postgres import django_settings

    with in_use(django_settings(where) if where.startswith("postgres") else sqlite_settings(Path(where))):
        while unsealed_count():
            seal(limit=2)
            print("sealed", flush=True)
            # It never runs ahead of who kills it, however late that comes.
            sys.stdin.readline()


if __name__ == "__main__":
    main(sys.argv[1])
