"""Strict reading of the environment: a value that cannot be understood stops the start with one clear line."""

from __future__ import annotations

import os
from dataclasses import dataclass
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


@dataclass(frozen=True)
class MailServer:
    """Where mail goes out. ``tls``: STARTTLS; ``ssl``: encrypted from the first byte."""

    host: str
    port: int
    user: str
    password: str
    tls: bool
    ssl: bool
    sender: str


def mail(name: str) -> tuple[bool, MailServer]:
    """Return whether a mail server is named, and which: ``smtp://`` or ``smtps://``, with its sender in ``from``."""
    url = os.environ.get(name, "").strip()
    if not url:
        return False, MailServer("localhost", 25, "", "", tls=False, ssl=False, sender="label-qa@localhost")
    try:
        parts = urlsplit(url)
        asked = dict(parse_qsl(parts.query))
        port = parts.port
    except ValueError as error:
        raise ImproperlyConfigured(f"{name} cannot be read as an address of a mail server") from error
    if parts.scheme not in {"smtp", "smtps"} or not parts.hostname or "@" not in asked.get("from", ""):
        raise ImproperlyConfigured(
            f"{name} is smtp:// or smtps://, with a host and a sender: smtp://user:password@host:587?tls=true&from=a@b.org"
        )
    ssl = parts.scheme == "smtps"
    return True, MailServer(
        host=parts.hostname,
        port=port or (465 if ssl else 587),
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        tls=not ssl and asked.get("tls", "true").lower() in TRUE_WORDS,
        ssl=ssl,
        sender=asked["from"],
    )


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
