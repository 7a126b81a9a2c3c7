"""What a production site gets without asking for it, and what it cannot start without."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PRODUCTION = {
    "QASERVICE_MODE": "production",
    "QASERVICE_SECRET_KEY": "a-secret-of-this-test-that-is-long-enough-to-be-taken-for-one-0123456789",
    "QASERVICE_ALLOWED_HOSTS": "qa.example.org",
    "QASERVICE_DATABASE_URL": "postgresql://qaservice_run:secret@127.0.0.1:5432/qaservice",
    "QASERVICE_RUNTIME_DB_ROLE": "qaservice_run",
    "QASERVICE_IDENTITY_KEY_FILE": "/etc/qaservice/identity-key",
    "QASERVICE_LEDGER_KEY_FILE": "/etc/qaservice/keys/ledger-key",
    "QASERVICE_CHECKPOINT_DIR": "/var/lib/qaservice-checkpoints",
}
PROTECTIONS = (
    "SECURE_SSL_REDIRECT",
    "SESSION_COOKIE_SECURE",
    "CSRF_COOKIE_SECURE",
    "SESSION_COOKIE_HTTPONLY",
    "SECURE_HSTS_INCLUDE_SUBDOMAINS",
)


def start(tmp_path: Path, arguments: list[str], **changes: str | None) -> subprocess.CompletedProcess[str]:
    """Run Python with a production site's environment; None takes a variable away."""
    # Only the machine's own environment: what the test session sets for itself is no part of a production site.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("QASERVICE_", "DJANGO_"))}
    environment |= {**PRODUCTION, "QASERVICE_DATA_DIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "qaservice.settings"}
    for name, value in changes.items():
        environment.pop(name, None)
        if value is not None:
            environment[name] = value
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.requirement("REQ-21")
def test_production_speaks_only_through_tls(tmp_path: Path) -> None:
    program = (
        "import json; from django.conf import settings; "
        f"print(json.dumps({{name: getattr(settings, name) for name in {PROTECTIONS!r}}} | "
        "{'hsts': settings.SECURE_HSTS_SECONDS, 'debug': settings.DEBUG}))"
    )
    told = json.loads(start(tmp_path, ["-c", program]).stdout)
    assert all(told[name] is True for name in PROTECTIONS)
    assert told["hsts"] >= 31536000
    assert told["debug"] is False


def test_production_does_not_start_without_a_secret_of_its_own(tmp_path: Path) -> None:
    done = start(tmp_path, ["manage.py", "check"], QASERVICE_SECRET_KEY=None)
    assert done.returncode != 0
    assert "QASERVICE_SECRET_KEY" in done.stderr


def test_the_deployment_check_refuses_sqlite(tmp_path: Path) -> None:
    arguments = ["manage.py", "check", "--deploy", "--fail-level", "WARNING"]
    assert start(tmp_path, arguments).returncode == 0
    on_sqlite = start(tmp_path, arguments, QASERVICE_DATABASE_URL=None)
    assert on_sqlite.returncode != 0
    assert "compliance.E007" in on_sqlite.stderr


def test_the_deployment_check_refuses_an_identity_key_beside_the_data(tmp_path: Path) -> None:
    arguments = ["manage.py", "check", "--deploy", "--fail-level", "WARNING"]
    beside = start(tmp_path, arguments, QASERVICE_IDENTITY_KEY_FILE=None)
    assert beside.returncode != 0
    assert "studies.E001" in beside.stderr
    inside = start(tmp_path, arguments, QASERVICE_IDENTITY_KEY_FILE=str(tmp_path / "keys" / "identity"))
    assert "studies.E001" in inside.stderr


def test_the_deployment_check_refuses_checkpoints_and_their_key_beside_the_data(tmp_path: Path) -> None:
    arguments = ["manage.py", "check", "--deploy", "--fail-level", "WARNING"]
    for name in ("QASERVICE_LEDGER_KEY_FILE", "QASERVICE_CHECKPOINT_DIR"):
        beside = start(tmp_path, arguments, **{name: None})
        assert beside.returncode != 0
        assert "compliance.W002" in beside.stderr
        assert name in beside.stderr


def test_the_deployment_check_refuses_an_identity_key_that_others_can_read(tmp_path: Path) -> None:
    data, key = tmp_path / "data", tmp_path / "identity-key"
    data.mkdir()
    key.write_text("AAAA")
    key.chmod(0o640)
    done = start(
        data, ["manage.py", "check", "--deploy", "--fail-level", "WARNING"], QASERVICE_IDENTITY_KEY_FILE=str(key)
    )
    assert done.returncode != 0
    assert "studies.E002" in done.stderr
    assert "AAAA" not in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("QASERVICE_MODE", "prod"),
        ("QASERVICE_BEHIND_TLS", "perhaps"),
        ("QASERVICE_JOB_LEASE_SECONDS", "soon"),
        ("QASERVICE_IDLE_LOGOUT_SECONDS", "1"),
        ("QASERVICE_DATABASE_URL", "mysql://x"),
    ],
)
def test_a_setting_that_cannot_be_understood_stops_the_start_by_name(tmp_path: Path, name: str, value: str) -> None:
    done = start(tmp_path, ["manage.py", "check"], **{name: value})
    assert done.returncode != 0
    assert name in done.stderr
