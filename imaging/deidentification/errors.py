"""Why a file could not be de-identified."""

from __future__ import annotations

from imaging.errors import ImagingError


class NotDeidentifiable(ImagingError):
    """The file may still show who someone is, and nothing here can remove that; so nothing of it is kept.

    Codes: ``burned-in-annotation``, ``encapsulated-document``, ``directory-file``, ``not-parsable``,
    ``structured-content``, ``unknown-label-format``; and ``identifies-a-person`` where a project refuses instead.
    """
