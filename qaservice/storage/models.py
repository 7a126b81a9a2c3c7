"""Content-addressed bytes: stored once under their SHA-256, never rewritten."""

from __future__ import annotations

from django.db import models

from compliance.base import WriteOnceModel


class Blob(WriteOnceModel):
    """The fact that these bytes are held. The bytes lie in the blob directory under their digest."""

    id = None  # type: ignore[assignment]  # the digest is the key
    sha256 = models.CharField(max_length=64, primary_key=True)
    size = models.PositiveBigIntegerField()
    media_type = models.CharField(max_length=100)

    def __str__(self) -> str:
        return self.sha256


class DestroyedBlob(WriteOnceModel):
    """The fact that these bytes are held no more: they were to be destroyed, for the reason that the event tells."""

    blob = models.OneToOneField(Blob, on_delete=models.PROTECT, related_name="destroyed")
    cause = models.CharField(max_length=20)

    def __str__(self) -> str:
        return f"{self.blob_id} destroyed"
