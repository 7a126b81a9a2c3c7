"""Which of a source's own label names mean a nodule, a non-nodule, or some other structure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from imaging.types import Category

LEAST_NODULE_MM = 3.0
"""LIDC's bound between its two nodule categories, on the longest axis."""


@dataclass(frozen=True, slots=True)
class LabelVocabulary:
    """How label names are understood. ``exact`` (name, case ignored) goes before the patterns.

    ``nodule`` and ``non_nodule`` are regular expressions searched for in a name, case ignored; ``non_nodule`` goes
    first. A name that matches neither is a structure.
    """

    nodule: str
    non_nodule: str
    exact: Mapping[str, Category] = field(default_factory=dict)

    def category(self, name: str, *, longest_mm: float | None) -> Category:
        """Return the category of a label of this name.

        ``longest_mm`` is its longest axis, which decides between the nodule categories at 3 mm; None where its size is
        not known (a bare point), which counts as the larger: nothing is called small without a measurement.
        """
        lowered = name.strip().lower()
        for known, category in self.exact.items():
            if known.strip().lower() == lowered:
                return category
        if re.search(self.non_nodule, name, re.IGNORECASE):
            return Category.NON_NODULE
        if not re.search(self.nodule, name, re.IGNORECASE):
            return Category.STRUCTURE
        small = longest_mm is not None and longest_mm < LEAST_NODULE_MM
        return Category.NODULE_LT_3MM if small else Category.NODULE_GE_3MM


LUNG_CT_VOCABULARY = LabelVocabulary(
    nodule=r"nodul|lesion|\bmass\b|neoplasm|tumou?r|metasta|carcinoma|\bgtv",
    non_nodule=r"non[-_ ]?nodul",
)
"""Names that lung teams use; a caller passes it on purpose, and a project may put its own beside it."""
