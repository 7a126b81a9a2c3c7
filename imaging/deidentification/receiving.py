"""What a project's identity policy makes of one file that arrives, before anything of it is kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from imaging.deidentification.errors import NotDeidentifiable
from imaging.deidentification.files import deidentify
from imaging.deidentification.identified import identifying
from imaging.deidentification.keys import ProjectKeys
from imaging.deidentification.paths import clean_path
from imaging.deidentification.profile import Profile
from imaging.deidentification.report import CrosswalkEntry, Report
from imaging.readers.limits import ReadLimits
from imaging.readers.sniff import Kind

Policy = Literal["keep", "de-identify", "refuse"]


@dataclass(frozen=True, slots=True)
class IdentityTerms:
    """A project's policy. ``keys`` and ``profile`` are needed for ``de-identify`` alone.

    Raises ValueError where the policy needs keys and a profile and has none.
    """

    policy: Policy
    keys: ProjectKeys | None = None
    profile: Profile | None = None

    def __post_init__(self) -> None:
        if self.policy == "de-identify" and (self.keys is None or self.profile is None):
            raise ValueError("a project that de-identifies needs its keys and a profile")

    @property
    def keeps_what_is_refused(self) -> bool:
        """Whether the bytes of a file that could not be read may be kept: nobody knows whom they name."""
        return self.policy == "keep"

    def name(self, path: str) -> str:
        """Return what a file is called in the records: its path, without what could name anyone."""
        return path if self.policy != "de-identify" or self.keys is None else clean_path(path, keys=self.keys)


KEEP_IDENTITIES = IdentityTerms("keep")
"""For projects, and for looking at files without one, where identities stay as received."""


@dataclass(frozen=True, slots=True, eq=False)
class Received:
    """One file as it may be kept. ``original_sha256`` is empty where ``data`` are the bytes that arrived."""

    data: bytes = field(repr=False)
    original_sha256: str = ""
    report: Report | None = None
    crosswalk: tuple[CrosswalkEntry, ...] = field(default=(), repr=False)


def receive(data: bytes, kind: Kind, terms: IdentityTerms, limits: ReadLimits) -> Received:
    """Return what may be kept of a file under a project's policy. Arguments are by position, as a sandbox has them.

    Raises UnreadableFile for damaged bytes, NotDeidentifiable for what cannot be cleaned, and NotDeidentifiable
    ``identifies-a-person``, naming elements and no values, under the policy that refuses.
    """
    if terms.policy == "keep" or kind == "other":
        return Received(data)
    if terms.policy == "refuse":
        found = identifying(data, kind, limits)
        if found:
            raise NotDeidentifiable(
                "identifies-a-person",
                f"The file may show who someone is, and the project refuses such files: {', '.join(found)}. "
                "Nothing of it was kept.",
            )
        return Received(data)
    if terms.keys is None or terms.profile is None:
        raise ValueError("a project that de-identifies needs its keys and a profile")
    done = deidentify(data, kind, terms.keys, terms.profile, limits)
    return Received(done.data, done.original_sha256, done.report, done.crosswalk)
