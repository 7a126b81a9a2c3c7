"""Whether categories and ratings are used differently by readers, under guidelines, or as time goes on."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imaging.checks.dataset import Concern, DatasetFindings, DatasetParameters
from imaging.checks.dataset_issues import findings_of, plain
from imaging.checks.permutation import UseOfWords, use_of_words
from imaging.checks.population import holm, posterior_of_p
from imaging.errors import NotApplicable
from imaging.facts.types import DatasetFacts, FindingFacts
from imaging.types import Rejection

LEAST_EFFECT = 0.1
"""Cramer's V below which a difference is small (Cohen 1988) and no concern, however sure it is."""

_LEAST_PATIENTS = 3
_LEAST_MARKS = 30
_TIMES = 4
_FACTORS = ("reader", "guideline", "time")


@dataclass(frozen=True, slots=True, eq=False)
class _Question:
    what: str
    factor: str
    answer: UseOfWords
    series: tuple[str, ...]


class TaxonomyDrift:
    """A permutation test for category and each rating by reader, guideline and time (see ``permutation``).

    A patient's marks within one group are the unit that might have come from any group, for they are not independent
    of each other: cases are held to be given to readers, and read in time, without regard to what is on them. Where
    they are not, a difference of the cases shows as one of their readers; the reason says "differs", not "errs".
    P-values are corrected for the number of questions (Holm), and
    differences below ``LEAST_EFFECT`` are not reported.
    """

    name = "taxonomy_drift"
    version = "1.0"

    def run(self, *, facts: DatasetFacts, parameters: DatasetParameters) -> DatasetFindings:
        """Return concerns alone, of kinds "category-by-reader", "rating-by-time" and the like.

        Raises NotApplicable ``nothing-to-compare`` where everything is of one reader, one guideline and one time.
        """
        asked: list[_Question] = []
        passed_over: list[Rejection] = []
        for factor in _FACTORS:
            groups = _groups(facts, factor)
            if len(set(groups.values())) < 2:
                passed_over.append(Rejection(f"one-{factor}", f"all labels are of one {factor} or none is stated"))
                continue
            for what in ("category", *_ratings(facts)):
                question = _ask(facts, what, factor, groups, parameters)
                if question is None:
                    passed_over.append(Rejection("too-few-marks", f"too few marks to compare {what} by {factor}"))
                else:
                    asked.append(question)
        if not asked:
            raise NotApplicable("nothing-to-compare", "; ".join(one.message for one in passed_over))
        corrected = holm([one.answer.p_value for one in asked])
        concerns = [
            self._concern(question, p, len(asked))
            for question, p in zip(asked, corrected, strict=True)
            if question.answer.effect >= LEAST_EFFECT and posterior_of_p(p_value=p) >= parameters.report_from
        ]
        return DatasetFindings(concerns=tuple(concerns), passed_over=tuple(passed_over))

    def _concern(self, question: _Question, p_value: float, asked: int) -> Concern:
        answer = question.answer
        what = plain(question.what)
        kind = "category" if question.what == "category" else "rating"
        word = answer.word if kind == "category" else f"{what} {answer.word}"
        return Concern(
            check=self.name,
            check_version=self.version,
            kind=f"{kind}-by-{question.factor}",
            series=question.series,
            score=posterior_of_p(p_value=p_value),
            reason=(
                f"The use of {what} differs by {question.factor}: {answer.share:.0%} of {answer.marks} marks of "
                f"{answer.group!r} are {word!r}, {answer.elsewhere:.0%} of the others. Were the cases alike, the "
                "guideline may be read differently there."
            ),
            subject=f"{question.what} by {question.factor}: {answer.group}",
            evidence={
                "field": question.what,
                "factor": question.factor,
                "group": answer.group,
                "word": answer.word,
                "share": round(answer.share, 4),
                "share_elsewhere": round(answer.elsewhere, 4),
                "marks": answer.marks,
                "cramers_v": round(answer.effect, 4),
                "p_value": answer.p_value,
                "p_corrected": p_value,
                "questions": asked,
                "readers": [answer.group] if question.factor == "reader" else [],
            },
        )


def _ratings(facts: DatasetFacts) -> list[str]:
    return sorted({name for _series, finding in findings_of(facts) for name in finding.characteristics})


def _groups(facts: DatasetFacts, factor: str) -> dict[str, str]:
    """Return the group of each set by its id; sets of which the factor is not known are left out.

    Times are cut into at most ``_TIMES`` parts of about as many sets each; one day is never cut in two.
    """
    found: dict[str, str] = {}
    for _series, finding in findings_of(facts):
        value = {"reader": finding.reader_label, "guideline": finding.guideline, "time": finding.marked_on[:10]}[factor]
        if value:
            found[finding.set_id] = value
    if factor != "time":
        return found
    days = Counter(found.values())
    parts: dict[str, str] = {}
    part: list[str] = []
    spans: list[list[str]] = []
    for day in sorted(days):
        part.append(day)
        if sum(days[one] for one in part) >= len(found) / _TIMES:
            spans.append(part)
            part = []
    if part:
        spans.append(part)
    for span in spans:
        name = span[0] if len(span) == 1 else f"{span[0]} to {span[-1]}"
        parts |= dict.fromkeys(span, name)
    return {set_id: parts[day] for set_id, day in found.items()}


def _ask(
    facts: DatasetFacts, what: str, factor: str, groups: dict[str, str], parameters: DatasetParameters
) -> _Question | None:
    counts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    places: dict[str, set[str]] = defaultdict(set)
    for series, finding in findings_of(facts):
        word = _word(finding, what)
        if word is not None and finding.set_id in groups:
            group = groups[finding.set_id]
            counts[series.patient, group][word] += 1
            places[group].add(series.series_instance_uid)
    patients_of = Counter(group for _patient, group in counts)
    # Who labelled one or two cases has shown no habit yet.
    kept = sorted(unit for unit in counts if patients_of[unit[1]] >= _LEAST_PATIENTS)
    words = _words([counts[unit] for unit in kept], parameters.least_class)
    if len({group for _patient, group in kept}) < 2 or len(set(words.values())) < 2:
        return None
    names = sorted(set(words.values()))
    units: NDArray[np.int_] = np.zeros((len(kept), len(names)), dtype=np.int_)
    for row, unit in enumerate(kept):
        for word, count in counts[unit].items():
            units[row, names.index(words[word])] += count
    if units.sum() < _LEAST_MARKS:
        return None
    answer = use_of_words(units=units, groups=[group for _patient, group in kept], words=names, seed=parameters.seed)
    return _Question(what, factor, answer, tuple(sorted(places[answer.group])))


def _word(finding: FindingFacts, what: str) -> str | None:
    if what == "category":
        return finding.category.value
    rating = finding.characteristics.get(what)
    return None if rating is None else str(rating)


def _words(counts: Sequence[Counter[str]], least: int) -> dict[str, str]:
    """Return what each word is counted as: rare words together, for a test of cells with next to nothing in them
    finds only that they are rare."""
    total: Counter[str] = Counter()
    for one in counts:
        total.update(one)
    rare = [word for word, count in total.items() if count < least]
    return {word: "another" if word in rare and len(rare) > 1 else word for word in total}
