"""Which profile and options are applied: the codes of CID 7050, and what each means here."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

METHOD = "label-qa 1: PS3.15 Annex E, table of 2026c"
"""Written as De-identification Method (0012,0063); its number grows whenever the same file would come out otherwise."""


class Option(Enum):
    """Options of PS3.15 Annex E that this package implements, as (code value, code meaning) of CID 7050."""

    MODIFIED_DATES = ("113107", "Retain Longitudinal Temporal Information Modified Dates Option")
    CLEAN_STRUCTURED_CONTENT = ("113104", "Clean Structured Content Option")
    CLEAN_DESCRIPTORS = ("113105", "Clean Descriptors Option")

    @property
    def code(self) -> str:
        return self.value[0]

    @property
    def meaning(self) -> str:
        return self.value[1]


BASIC_PROFILE = ("113100", "Basic Application Confidentiality Profile")


@dataclass(frozen=True, slots=True)
class Profile:
    """The basic profile with the options of one project.

    ``kept_terms`` are label names that the project has declared to be label names: they are kept wherever a label's
    name is read, whatever words they hold. Without CLEAN_DESCRIPTORS every descriptor goes as the basic profile says;
    without CLEAN_STRUCTURED_CONTENT a structured report is refused, since nothing would be left of it.
    """

    options: frozenset[Option]
    kept_terms: frozenset[str] = frozenset()

    def keeps(self, term: str) -> bool:
        """Tell whether the project has declared this to be a label's name; case is ignored, as when labels are read."""
        return any(term.strip().casefold() == kept.strip().casefold() for kept in self.kept_terms)

    @property
    def codes(self) -> tuple[tuple[str, str], ...]:
        """(value, meaning) of every code that is written, the profile first, then its options by code."""
        return BASIC_PROFILE, *sorted(option.value for option in self.options)


LABEL_QA_OPTIONS = frozenset({Option.MODIFIED_DATES, Option.CLEAN_STRUCTURED_CONTENT, Option.CLEAN_DESCRIPTORS})
"""What label quality assurance needs: intervals between studies, the content of reports, and the names of labels.

Retain UIDs, safe private, device identity, institution identity and patient characteristics are not implemented: what
they would keep is removed. Clean pixel data is not implemented either: a file that needs it is refused.
"""
