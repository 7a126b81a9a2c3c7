"""Deployment checks: the identity key lies apart from what it protects, and nobody else can read it."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core import checks

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@checks.register(checks.Tags.security, deploy=True)
def the_identity_key_lies_apart(**kwargs: Any) -> list[checks.CheckMessage]:
    """E001: the key is where the data are, and goes wherever they go: into every backup, to every thief."""
    place = Path(settings.IDENTITY_KEY_FILE).resolve()
    if Path(settings.DATA_DIR).resolve() not in place.parents:
        return []
    return [
        checks.Error(
            "the identity key lies in the data folder, beside what it protects",
            hint="set QASERVICE_IDENTITY_KEY_FILE to a place outside QASERVICE_DATA_DIR, and back it up apart",
            id="studies.E001",
        )
    ]


@checks.register(checks.Tags.security, deploy=True)
def the_identity_key_is_the_services_alone(**kwargs: Any) -> list[checks.CheckMessage]:
    """E002: others can read the key."""
    try:
        mode = Path(settings.IDENTITY_KEY_FILE).stat().st_mode
    except OSError:
        # Nobody needs one before a project de-identifies; then its absence is said by name.
        return []
    if not mode & _OTHERS:
        return []
    return [
        checks.Error(
            "the identity key can be read by others than the service's account",
            hint="chmod 600 the file that QASERVICE_IDENTITY_KEY_FILE names",
            id="studies.E002",
        )
    ]
