"""What an issue is about: one label, one place where a label may be missing, or a whole set; and whether it claims."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from imaging.types import LabelIssue, PointMm

LEAST_REACH_MM = 2.5
"""Two places closer than this are one place: half a usual slice step, and a 3 mm nodule's reach on thick slices."""

AMBIGUOUS_CHECK = "ambiguous"
"""The check that sends a place to adjudication without calling anything wrong."""

_OF_A_SET = frozenset({"import", "set", "whole-set", "set-shift", "set-flip", "series", "wrong-series"})
"""Kinds of issue (``evidence["kind"]``) that, without a finding, are about the set and not about an empty place."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is in question, in the terms in which two issues can be compared.

    ``finding_id`` is None for a place where nothing is marked and for a whole set. ``place_mm``: LPS millimetres;
    ``radius_mm``: half the size of what is there. ``whole_set``: about the set as such. ``ambiguous``: not a claim
    that a label is wrong.
    """

    set_id: str
    finding_id: str | None
    place_mm: PointMm
    radius_mm: float
    whole_set: bool = False
    ambiguous: bool = False


def subject_of(issue: LabelIssue) -> Subject:
    """Return what an issue is about."""
    return Subject(
        set_id=issue.annotation_set_id,
        finding_id=issue.finding_id,
        place_mm=issue.place_mm,
        radius_mm=issue.radius_mm,
        whole_set=concerns_set(issue),
        ambiguous=is_ambiguous(issue),
    )


def is_ambiguous(issue: LabelIssue) -> bool:
    """Say whether an issue asks for adjudication and claims nothing: by its check, or by its evidence."""
    return issue.check == AMBIGUOUS_CHECK or issue.evidence.get("ambiguous") is True


def concerns_set(issue: LabelIssue) -> bool:
    """Say whether an issue is about a set of labels as a whole (its file, its shift), at no place of its own."""
    return issue.finding_id is None and speaks_of_set(issue.evidence)


def speaks_of_set(evidence: Mapping[str, object]) -> bool:
    """Say whether evidence on no finding is about the set as a whole."""
    return evidence.get("scope") == "set" or str(evidence.get("kind", "")) in _OF_A_SET


def same_subject(*, first: Subject, second: Subject) -> bool:
    """Say whether two issues are about one thing, whichever check raised them.

    Of one set, both claims or both ambiguous, and: the same finding; or the set as a whole; or, where a label is
    missing, places within the larger radius (at least 2.5 mm). A label and an empty place beside it are two things.
    """
    if (first.set_id, first.ambiguous, first.whole_set) != (second.set_id, second.ambiguous, second.whole_set):
        return False
    if first.finding_id is not None or second.finding_id is not None:
        return first.finding_id == second.finding_id
    if first.whole_set:
        return True
    return math.dist(first.place_mm, second.place_mm) <= max(first.radius_mm, second.radius_mm, LEAST_REACH_MM)
