"""Errors of the analysis core. Each says what is wrong and where, in words a person can act on."""

from __future__ import annotations


class ImagingError(Exception):
    """Base of every error that this package raises on purpose.

    ``code`` is stable and machine readable (``"missing-slices"``); ``message`` is for people; ``subjects`` names the
    offending objects, as a rule SOP Instance UIDs.
    """

    def __init__(self, code: str, message: str, *, subjects: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.subjects = subjects

    def __reduce__(self) -> tuple[object, ...]:
        """Cross from one process to another whole; by itself an exception is made again from its message alone."""
        return _made_again, (type(self), self.code, self.message, self.subjects)


def _made_again(kind: type[ImagingError], code: str, message: str, subjects: tuple[str, ...]) -> ImagingError:
    return kind(code, message, subjects=subjects)


class GeometryError(ImagingError):
    """Positions, orientations or spacings do not describe one regular volume, or a label does not fit its image."""


class UnreadableFile(ImagingError):
    """The bytes are not what they claim to be, or cannot be read within the stated limits."""


class NotApplicable(ImagingError):
    """The question does not make sense for this input (a nodule check on a mass, say). Not a fault of the data."""


class BundleError(ImagingError):
    """A model bundle is incomplete, altered, or does not match its pinned digest."""


class WriteMismatch(ImagingError):
    """What was written does not read back as what was to be written; nothing of it is released."""
