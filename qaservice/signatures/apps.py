"""Electronic signatures: what is signed, by whom, with what meaning (21 CFR 11.50 to 11.300)."""

from __future__ import annotations

from django.apps import AppConfig


class SignaturesConfig(AppConfig):
    """Registers the app."""

    name = "qaservice.signatures"
    label = "signatures"

    def ready(self) -> None:
        # Importing registers this app's event kinds; an unregistered kind is refused when it is recorded.
        from qaservice.signatures import events  # noqa: F401
