"""Strict reading of the environment: a value that cannot be understood stops the start with one clear line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured
from django.core.management.utils import get_random_secret_key

TRUE_WORDS = frozenset({"1", "true", "yes", "on"})
FALSE_WORDS = frozenset({"0", "false", "no", "off"})


def text(name: str, default: str) -> str:
    return os.environ.get(name, default).strip()


def flag(name: str, *, default: bool) -> bool:
    word = os.environ.get(name)
    if word is None:
        return default
    if word.lower() in TRUE_WORDS:
        return True
    if word.lower() in FALSE_WORDS:
        return False
    raise ImproperlyConfigured(f"{name} is {word!r}; write true or false")


def whole_number(name: str, *, default: int, least: int) -> int:
    word = os.environ.get(name)
    if word is None:
        return default
    try:
        number = int(word)
    except ValueError as error:
        raise ImproperlyConfigured(f"{name} is {word!r}; write a whole number") from error
    if number < least:
        raise ImproperlyConfigured(f"{name} is {number}; it must be at least {least}")
    return number


def words(name: str, default: str) -> list[str]:
    return [word.strip() for word in os.environ.get(name, default).split(",") if word.strip()]


def one_of(name: str, *, default: str, choices: tuple[str, ...]) -> str:
    word = text(name, default)
    if word not in choices:
        raise ImproperlyConfigured(f"{name} is {word!r}; write one of {', '.join(choices)}")
    return word


def database(name: str, *, default_sqlite: Path) -> dict[str, Any]:
    """Return Django's settings for one database from a URL, SQLite in WAL mode where no URL is given."""
    url = os.environ.get(name, "").strip()
    if not url:
        return sqlite(default_sqlite)
    parts = urlsplit(url)
    if parts.scheme in {"postgres", "postgresql"}:
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": unquote(parts.path.lstrip("/")),
            "USER": unquote(parts.username or ""),
            "PASSWORD": unquote(parts.password or ""),
            "HOST": unquote(parts.hostname or ""),
            "PORT": str(parts.port or ""),
            "OPTIONS": dict(parse_qsl(parts.query)),
            "CONN_MAX_AGE": 60,
            "CONN_HEALTH_CHECKS": True,
        }
    if parts.scheme == "sqlite":
        return sqlite(Path(unquote(parts.path)))
    raise ImproperlyConfigured(f"{name} must begin with postgresql:// or sqlite://")


def sqlite(path: Path) -> dict[str, Any]:
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(path),
        "OPTIONS": {
            # IMMEDIATE takes the write lock at BEGIN: two writers queue for it instead of one failing half-way.
            "transaction_mode": "IMMEDIATE",
            "timeout": 60,
            "init_command": (
                "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; "
                "PRAGMA foreign_keys=ON; PRAGMA recursive_triggers=ON;"
            ),
        },
    }


def secret_key(name: str, *, key_file: Path, embedded: bool) -> str:
    """Return the signing key: from the environment, or made at first start, kept beside the data (mode 0600)."""
    key = os.environ.get(name, "").strip()
    if key:
        return key
    if not embedded:
        raise ImproperlyConfigured(f"{name} is not set; a production site must bring its own secret")
    key_file.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return key_file.read_text().strip()
    made = get_random_secret_key()
    with os.fdopen(descriptor, "w") as stream:
        stream.write(made)
    return made
