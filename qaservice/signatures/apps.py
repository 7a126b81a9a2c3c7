"""Electronic signatures: what is signed, by whom, with what meaning (21 CFR 11.50 to 11.300)."""

from __future__ import annotations

from django.apps import AppConfig


class SignaturesConfig(AppConfig):
    """Registers the app."""

    name = "qaservice.signatures"
    label = "signatures"
