"""The app: triggers follow every migrate, and system checks watch over them."""

from __future__ import annotations

from django.apps import AppConfig


class ComplianceConfig(AppConfig):
    name = "compliance"
    verbose_name = "The record"
    default_auto_field = "django.db.models.BigAutoField"
