"""Agreement among the readers who labelled, and among the reviewers who settled flags."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from compliance.rendering.document import Agreement, Measure
from imaging.agreement.overlap import dice
from imaging.agreement.raters import (
    fleiss_kappa,
    krippendorff_alpha_nominal,
    krippendorff_alpha_ordinal,
    specific_agreement,
)
from imaging.agreement.surface import surface_distances
from imaging.errors import NotApplicable
from imaging.types import Category, Mask
from qaservice.labels.models import FindingRevision
from qaservice.labels.selectors import mask_of
from qaservice.reports import words
from qaservice.reports.evidence import Evidence
from qaservice.reports.sections.statistics import LEAST_PATIENTS, RESAMPLES, absent, measure
from qaservice.review.models import Decision, Phase

# A coefficient over fewer units swings from one end to the other with a single rating.
LEAST_UNITS = 5

EXPLANATION = (
    "Readers mark where they like, so there is no list of places that all of them judged. Agreement on marks is "
    "therefore the index of specific agreement: the chance that another reader who read the case marked the same "
    "lesion. Fleiss' kappa over the lesions that anyone marked is given beside it and is biased low, since the places "
    "that nobody marked cannot be counted.",
    "Outlines are compared pair by pair on the lesions that both readers outlined. Disagreement is not error.",
)

Shapes = Callable[[FindingRevision], Mask]
Ratings = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class LesionMarks:
    """One lesion as the readers of its series saw it: the mark, or None, of every reader who read the case."""

    patient: str
    marks: tuple[FindingRevision | None, ...]

    def rating(self, name: str) -> Ratings:
        """Return each reader's rating of one characteristic, NaN where there is none."""
        return tuple(
            float(mark.characteristics[name]) if mark is not None and mark.characteristics.get(name) else float("nan")
            for mark in self.marks
        )


def agreement(evidence: Evidence, *, shape_of: Shapes = mask_of) -> Agreement:
    """Return all measures of agreement; each says what it rests on, or why it has no value."""
    return Agreement(
        explanation=(*EXPLANATION, _about_intervals(evidence)),
        readers=tuple(_among_readers(evidence, shape_of)),
        reviewers=tuple(_among_reviewers(evidence)),
    )


def _about_intervals(evidence: Evidence) -> str:
    patients = len({study.patient_key for study in evidence.studies.values()})
    text = f"Intervals are percentiles of {RESAMPLES:,} draws of whole patients with replacement."
    if patients < LEAST_PATIENTS:
        text += (
            f" This dataset has {words.counted(patients, 'patient')}, and fewer than {LEAST_PATIENTS} give no interval "
            "that means anything; so none is given."
        )
    return text


def lesions_of(evidence: Evidence) -> list[LesionMarks]:
    """Return the lesions that the report's run matched across readers, with the marks of all who read the case."""
    lesions: list[LesionMarks] = []
    for result in evidence.results:
        readers = [str(one.pk) for one in evidence.reader_sets if one.series_id == result.series_id and one.read]
        for lesion in result.lesions:
            members = {str(set_id): UUID(str(finding_id)) for set_id, finding_id in lesion["members"]}
            marks = tuple(evidence.revisions.get(members[set_id]) if set_id in members else None for set_id in readers)
            if any(mark is not None for mark in marks):
                lesions.append(LesionMarks(patient=evidence.patient_of(result.series_id), marks=marks))
    return lesions


def _among_readers(evidence: Evidence, shape_of: Shapes) -> list[Measure]:
    lesions = [lesion for lesion in lesions_of(evidence) if len(lesion.marks) > 1]
    if not lesions:
        return []
    units = [(lesion.patient, lesion) for lesion in lesions]
    large = [(lesion.patient, lesion) for lesion in lesions if any(_is_large(mark) for mark in lesion.marks)]
    readers = _range_of([len(lesion.marks) for lesion in lesions])
    measures = [
        measure(
            name="Specific agreement, nodules of 3 mm and more",
            units=large,
            statistic=lambda drawn: _specific(drawn, _is_large),
            places=2,
            unit="",
            basis=f"{words.counted(len(large), 'lesion')}, {readers} readers a case",
            remark="",
        ),
        measure(
            name="Specific agreement, marks of any category",
            units=units,
            statistic=lambda drawn: _specific(drawn, lambda mark: mark is not None),
            places=2,
            unit="",
            basis=f"{words.counted(len(units), 'lesion')}, {readers} readers a case",
            remark="",
        ),
        _category_kappa(units),
    ]
    measures += _outlines(evidence, lesions, shape_of)
    measures += [
        found
        for found in (_ratings(units, name) for name in ("malignancy", "subtlety", "texture"))
        if found is not None
    ]
    return measures


def _specific(lesions: Sequence[LesionMarks], counts: Callable[[FindingRevision | None], bool]) -> float:
    width = max((len(lesion.marks) for lesion in lesions), default=0)
    marked = np.zeros((len(lesions), width), dtype=np.bool_)
    read = np.zeros((len(lesions), width), dtype=np.bool_)
    for row, lesion in enumerate(lesions):
        read[row, : len(lesion.marks)] = True
        marked[row, : len(lesion.marks)] = [counts(mark) for mark in lesion.marks]
    return specific_agreement(marked=marked, read=read)


def _category_kappa(units: Sequence[tuple[str, LesionMarks]]) -> Measure:
    name = "Fleiss' kappa, category of a lesion"
    # Kappa asks for one number of raters: the one that most cases have.
    raters = Counter(len(lesion.marks) for _, lesion in units).most_common(1)[0][0]
    used = [(patient, lesion) for patient, lesion in units if len(lesion.marks) == raters]
    basis = f"{words.counted(len(used), 'lesion')} read by {raters}; categories and “not marked”"
    if len(used) < LEAST_UNITS:
        return absent(name=name, why=_too_few(len(used), "lesion"), basis=basis)
    categories = [*(category.value for category in Category), ""]
    return measure(
        name=name,
        units=used,
        statistic=lambda drawn: fleiss_kappa(
            counts=np.array(
                [
                    [
                        sum((mark.category if mark else "") == category for mark in lesion.marks)
                        for category in categories
                    ]
                    for lesion in drawn
                ],
                dtype=np.int64,
            )
        ),
        places=2,
        unit="",
        basis=basis,
        remark="biased low, see above",
    )


def _outlines(evidence: Evidence, lesions: Sequence[LesionMarks], shape_of: Shapes) -> list[Measure]:
    overlaps: list[tuple[str, float]] = []
    distances: list[tuple[str, float]] = []
    spreads: list[tuple[str, tuple[float, int]]] = []
    for lesion in lesions:
        outlined = [mark for mark in lesion.marks if mark is not None and mark.shape == "mask"]
        shapes = [shape_of(mark) for mark in outlined]
        for first, second in combinations(shapes, 2):
            overlaps.append((lesion.patient, dice(first=first, second=second)))
            distances.append((lesion.patient, surface_distances(first=first, second=second).hd95_mm))
        diameters = [mark.diameter_mm for mark in outlined if mark.diameter_mm is not None]
        if len(diameters) > 1:
            spreads.append(
                (lesion.patient, (float(np.var(diameters, ddof=1)) * (len(diameters) - 1), len(diameters) - 1))
            )
    basis = words.counted(len(overlaps), "pair") + " of outlines"
    if not overlaps:
        why = "no lesion was outlined by two readers"
        return [absent(name="Pairwise Dice", why=why, basis=""), absent(name="Pairwise HD95", why=why, basis="")]
    measures = [
        measure(
            name="Pairwise Dice, median",
            units=overlaps,
            statistic=_median,
            places=2,
            unit="",
            basis=basis,
            remark=f"lowest {words.decimal(min(value for _, value in overlaps), 2)}",
        ),
        measure(
            name="Pairwise surface distance (HD95), median",
            units=distances,
            statistic=_median,
            places=1,
            unit="mm",
            basis=basis,
            remark=f"greatest {words.decimal(max(value for _, value in distances), 1)} mm",
        ),
    ]
    if spreads:
        measures.append(
            measure(
                name="Diameter, standard deviation between readers",
                units=spreads,
                statistic=lambda drawn: float(np.sqrt(sum(one[0] for one in drawn) / sum(one[1] for one in drawn))),
                places=1,
                unit="mm",
                basis=f"{words.counted(len(spreads), 'lesion')} outlined by two or more; "
                f"{evidence.project.size_convention}",
                remark="pooled within lesions; two readers' diameters differ by less than 2.77 times this in 95 of 100 "
                "cases",
            )
        )
    return measures


def _ratings(units: Sequence[tuple[str, LesionMarks]], name: str) -> Measure | None:
    """Return the ordinal alpha of one characteristic, None where no lesion has two ratings of it."""
    rated = [(patient, lesion.rating(name)) for patient, lesion in units]
    rated = [(patient, values) for patient, values in rated if sum(not np.isnan(value) for value in values) > 1]
    if not rated:
        return None
    title = f"Krippendorff's alpha (ordinal), {name}"
    basis = f"{words.counted(len(rated), 'lesion')} with two or more ratings"
    if len(rated) < LEAST_UNITS:
        return absent(name=title, why=_too_few(len(rated), "lesion"), basis=basis)
    return measure(
        name=title,
        units=rated,
        statistic=lambda drawn: krippendorff_alpha_ordinal(ratings=_as_columns(drawn)),
        places=2,
        unit="",
        basis=basis,
        remark="",
    )


def _among_reviewers(evidence: Evidence) -> list[Measure]:
    measures: list[Measure] = []
    for phase, title in ((Phase.BLIND, "blind verdicts"), (Phase.FINAL, "final verdicts")):
        rounds: dict[tuple[UUID, int], list[str]] = {}
        patients: dict[tuple[UUID, int], str] = {}
        for flag in evidence.flags:
            for verdict in evidence.verdicts.get(flag.pk, ()):
                if verdict.phase == phase:
                    rounds.setdefault((flag.pk, verdict.round), []).append(verdict.decision)
                    patients[(flag.pk, verdict.round)] = evidence.patient_of(flag.series_id)
        units = [(patients[key], tuple(decisions)) for key, decisions in rounds.items() if len(decisions) > 1]
        if units:
            measures += _verdict_agreement(title, units, evidence.project.required_votes)
    return measures


def _verdict_agreement(title: str, units: list[tuple[str, tuple[str, ...]]], required: int) -> list[Measure]:
    codes = {decision.value: float(code) for code, decision in enumerate(Decision)}
    basis = f"{words.counted(len(units), 'flag')} with two or more {title}"
    measures = [
        measure(
            name=f"Agreeing pairs, {title}",
            units=units,
            statistic=_agreeing_pairs,
            places=2,
            unit="",
            basis=basis,
            remark="share of pairs of reviewers who decided alike; not corrected for chance",
        )
    ]
    alpha, kappa = f"Krippendorff's alpha (nominal), {title}", f"Fleiss' kappa, {title}"
    if len(units) < LEAST_UNITS:
        measures.append(absent(name=alpha, why=_too_few(len(units), "flag"), basis=basis))
    else:
        measures.append(
            measure(
                name=alpha,
                units=[(patient, tuple(codes[one] for one in decisions)) for patient, decisions in units],
                statistic=lambda drawn: krippendorff_alpha_nominal(ratings=_as_columns(drawn)),
                places=2,
                unit="",
                basis=basis,
                remark="allows for reviewers who were not asked",
            )
        )
    full = [unit for unit in units if len(unit[1]) == required]
    basis = f"{words.counted(len(full), 'flag')} with all {required} {title}"
    if len(full) < LEAST_UNITS:
        measures.append(absent(name=kappa, why=_too_few(len(full), "flag"), basis=basis))
    else:
        measures.append(
            measure(
                name=kappa,
                units=full,
                statistic=lambda drawn: fleiss_kappa(counts=_counted_decisions(drawn)),
                places=2,
                unit="",
                basis=basis,
                remark="",
            )
        )
    return measures


def _counted_decisions(units: Sequence[tuple[str, ...]]) -> NDArray[np.int64]:
    return np.array([[unit.count(decision.value) for decision in Decision] for unit in units], dtype=np.int64)


def _agreeing_pairs(units: Sequence[tuple[str, ...]]) -> float:
    pairs = [first == second for unit in units for first, second in combinations(unit, 2)]
    if not pairs:
        raise NotApplicable("no-pairs", "no flag has two verdicts")
    return sum(pairs) / len(pairs)


def _as_columns(units: Sequence[Ratings]) -> NDArray[np.float64]:
    """Return ratings as (raters, units), NaN where a unit has fewer raters than the widest one."""
    table = np.full((max(len(unit) for unit in units), len(units)), np.nan)
    for column, unit in enumerate(units):
        table[: len(unit), column] = unit
    return table


def _median(values: Sequence[float]) -> float:
    return float(np.median(values))


def _is_large(mark: FindingRevision | None) -> bool:
    return mark is not None and mark.category == Category.NODULE_GE_3MM.value


def _range_of(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low} to {high}"


def _too_few(number: int, unit: str) -> str:
    return f"{words.counted(number, unit)}, and a coefficient over fewer than {LEAST_UNITS} means little"
