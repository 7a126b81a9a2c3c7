"""The record's tests stand on settings and models of their own, and run on SQLite and on PostgreSQL.

Under other settings (a run of the whole tree) one test runs this suite in a process of its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.conf import settings

from tests.compliance import databases

if TYPE_CHECKING:
    from compliance.evidence import Kit
    from tests.compliance.testapp.models import Case

OWN_SETTINGS = "tests.compliance.settings" in (os.environ.get("DJANGO_SETTINGS_MODULE") or "")
HERE = Path(__file__).parent
BRIDGE = "test_own_suite.py"

if OWN_SETTINGS:
    collect_ignore = [BRIDGE, "rendering"]
elif os.environ.get("QASERVICE_DATABASE_URL", "").startswith("postgres"):
    # The run on SQLite has it, with both databases.
    collect_ignore_glob = ["test_*.py"]
else:
    collect_ignore = [path.name for path in HERE.glob("test_*.py") if path.name != BRIDGE]

assert settings.configured


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory, django_db_blocker: object) -> Path:
    with django_db_blocker.unblock():
        return databases.migrated_sqlite(tmp_path_factory.mktemp("template") / "template.sqlite3")


@pytest.fixture(scope="session")
def postgres_template(postgres_url: str, django_db_blocker: object) -> Iterator[str]:
    with django_db_blocker.unblock(), databases.migrated_postgres(postgres_url) as name:
        yield name


@pytest.fixture
def sqlite_database(sqlite_template: Path, tmp_path: Path, django_db_blocker: object) -> Iterator[Path]:
    """A fresh SQLite file with all tables and triggers."""
    with django_db_blocker.unblock(), databases.fresh_sqlite(sqlite_template, tmp_path / "record.sqlite3") as path:
        yield path


@pytest.fixture
def postgres_database(postgres_url: str, postgres_template: str, django_db_blocker: object) -> Iterator[str]:
    """A fresh PostgreSQL database with all tables and triggers; its URL."""
    with django_db_blocker.unblock(), databases.fresh_postgres(postgres_url, postgres_template) as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest) -> str:
    """A fresh database, on SQLite and on PostgreSQL in turn."""
    request.getfixturevalue("sqlite_database" if request.param == "sqlite" else "postgres_database")
    return request.param


@pytest.fixture(autouse=True)
def checkpoint_place(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """A folder for checkpoints and a key of its own for every test of the record; the key is made when it is needed."""
    if OWN_SETTINGS:
        settings = request.getfixturevalue("settings")
        settings.CHECKPOINT_DIR = tmp_path / "checkpoints"
        settings.LEDGER_KEY_FILE = tmp_path / "ledger-key"
        settings.CHECKPOINT_SECONDS = 0


@pytest.fixture
def sealed_case(sqlite_database: Path) -> Case:
    """Events 0 to 3: opened with three slices, renamed twice, viewed (in another project)."""
    # Models of the test app can be imported under its own settings only; this file is read under any.
    from compliance.sealing import seal
    from tests.compliance.scenes import open_case, rename_case, view_case

    case = open_case(slices=3)
    for title in ("Mass", "Scar"):
        rename_case(case, title)
    view_case(case, project_key="other")
    seal()
    return case


@pytest.fixture
def kit(sealed_case: Case, tmp_path: Path) -> Kit:
    """A kit of that story with two files; event 4 names the key that signed its checkpoint."""
    from compliance.checkpoints import publish
    from compliance.evidence import build_kit

    figures = tmp_path / "figures.csv"
    figures.write_bytes(b"a,b\n1,2\n")
    return build_kit(
        tmp_path / "kit.zip",
        files={"report.pdf": b"%PDF-1.7 report", "data/figures.csv": figures},
        facts={"project": "lung", "simulated_actors": True},
        checkpoint=publish(),
        heads=(3,),
    )
