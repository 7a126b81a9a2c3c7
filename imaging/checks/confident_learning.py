"""Categories and ratings that a classifier of everybody else's findings would have given otherwise."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imaging.checks.dataset import DatasetFindings, DatasetParameters, LocatedIssue
from imaging.checks.dataset_issues import feature_in_words, findings_of, located_issue, plain
from imaging.checks.out_of_sample import OutOfSample, out_of_sample
from imaging.checks.words import percent
from imaging.errors import NotApplicable
from imaging.facts.finding_features import MODEL_FEATURES
from imaging.facts.types import DatasetFacts, FindingFacts, SeriesFacts
from imaging.types import Action, Category, Proposal, Rejection

ORIGIN = "the category of the findings that measure like this one"

_SKILL = 0.15
"""How far above guessing a classifier's balanced accuracy has to be, of what there is to gain, to be listened to."""

_DOUBTFUL_CATEGORY = 0.5
_DOUBTFUL_RATING = 0.1
"""What the classifier gives at most to a label that is in doubt. A rating is an opinion: one that a tenth of lesions
measuring alike would get is no error."""

_PRIOR = 0.05
"""Share of labels held to be wrong where a classifier tells nothing."""

_LEAST_FINDINGS = 40
_NOMINAL = frozenset({"category", "calcification", "internalStructure", "internal_structure"})
"""What has names and not steps: no value of it is nearer to another than a third."""

_NAMED = 3
_LOG_FEATURES = frozenset({"volume_mm3", "surface_mm2", "long_axis_mm", "short_axis_mm", "height_mm"})
_Member = tuple[SeriesFacts, FindingFacts]


@dataclass(frozen=True, slots=True, eq=False)
class _Task:
    """One question to a classifier: which of ``classes`` each member is."""

    what: str
    members: tuple[_Member, ...]
    labels: NDArray[np.int_]
    classes: tuple[str, ...]


class ConfidentLearning:
    """Confident learning (Northcutt, Jiang, Chuang, JAIR 70, 2021) by cleanlab itself, over measured features.

    Probabilities are out of sample: a simple classifier, cross-validated so that a patient is never on both sides
    (``out_of_sample``). What cleanlab then finds (``filter_by="both"``: by class and by the confident joint) is an
    issue where the classifier gives less than one half to what was given; for ratings, less than a tenth to it and its
    neighbours together, for careful readers rate one step apart. The score is what the classifier gives to all else,
    drawn towards ``_PRIOR`` by how little better than guessing the classifier is. Rare classes are protected: none
    below ``least_class`` takes part, neighbouring rare ratings are joined, and a classifier without skill is not
    listened to. Features that a QA model gave are left out, so that the check's word does not depend on that model.
    """

    name = "confident_learning"
    version = "1.0"

    def run(self, *, facts: DatasetFacts, parameters: DatasetParameters) -> DatasetFindings:
        """Return issues alone; categories come with a proposal.

        Raises NotApplicable where no classifier could be asked about anything: its message says of each why.
        """
        members = tuple(findings_of(facts))
        issues: list[LocatedIssue] = []
        passed_over: list[Rejection] = []
        asked = 0
        for what in ("category", *sorted({name for _s, one in members for name in one.characteristics})):
            try:
                task, protected = _task(what, members, parameters)
                passed_over += protected
                issues += self._issues(task, parameters)
                asked += 1
            except NotApplicable as refusal:
                passed_over.append(Rejection(refusal.code, f"{plain(what)}: {refusal.message}"))
        if not asked:
            raise NotApplicable("no-classifier", "; ".join(one.message for one in passed_over) or "no findings")
        return DatasetFindings(issues=tuple(issues), passed_over=tuple(passed_over))

    def _issues(self, task: _Task, parameters: DatasetParameters) -> list[LocatedIssue]:
        from cleanlab.filter import find_label_issues
        from cleanlab.rank import get_label_quality_scores

        names = _feature_names(task.members)
        values = np.array([[_value(finding, name) for name in names] for _series, finding in task.members])
        told = out_of_sample(
            values=values,
            labels=task.labels,
            patients=[series.patient for series, _finding in task.members],
            folds=parameters.folds,
            seed=parameters.seed,
        )
        skill = _skill(told, len(task.classes))
        if skill < _SKILL:
            raise NotApplicable(
                "no-skill",
                f"the features do not tell it (balanced accuracy {told.balanced_accuracy:.2f} of "
                f"{len(task.classes)} classes)",
            )
        wrong = find_label_issues(task.labels, told.probabilities, filter_by="both", n_jobs=1)
        quality = get_label_quality_scores(task.labels, _with_neighbours(task, told.probabilities))
        doubtful = _DOUBTFUL_CATEGORY if task.what in _NOMINAL else _DOUBTFUL_RATING
        issues = []
        for index in np.flatnonzero(wrong).tolist():
            score = _PRIOR + skill * (1.0 - float(quality[index]) - _PRIOR)
            suggested = int(np.argmax(told.probabilities[index]))
            if score < parameters.report_from or quality[index] >= doubtful or _is_near(task, index, suggested):
                continue
            contrast = _telling(values, task.labels, index, suggested, names)
            issues.append(self._issue(task, told, index, suggested, score, float(quality[index]), contrast))
        return issues

    def _issue(
        self,
        task: _Task,
        told: OutOfSample,
        index: int,
        suggested: int,
        score: float,
        quality: float,
        contrast: Sequence[str],
    ) -> LocatedIssue:
        series, finding = task.members[index]
        given, other = task.classes[task.labels[index]], task.classes[suggested]
        probability = float(told.probabilities[index, suggested])
        category = Category(other) if task.what == "category" else None
        measured = ", ".join(feature_in_words(name, finding.features[name]) for name in contrast)
        return located_issue(
            check=self.name,
            check_version=self.version,
            series=series,
            finding=finding,
            score=score,
            reason=(
                f"The {plain(task.what)} given is {given!r}; findings of other patients that measure like this one "
                f"{f'({measured}) ' if measured else ''}are {other!r} with {percent(probability=probability)}."
            ),
            features={
                "quality": quality,
                "suggested_probability": probability,
                "balanced_accuracy": told.balanced_accuracy,
                "members": float(len(task.members)),
                "diameter_mm": finding.diameter_mm or 0.0,
            },
            evidence={
                "field": task.what,
                "given": given,
                "suggested": other,
                "probability": probability,
                "telling_features": list(contrast),
            },
            proposals=(Proposal(Action.RECATEGORISE, ORIGIN, category=category),) if category is not None else (),
        )


def _task(what: str, members: Sequence[_Member], parameters: DatasetParameters) -> tuple[_Task, tuple[Rejection, ...]]:
    """Return the question, with its rare classes left out (categories) or joined to a neighbour (ratings)."""
    if what == "category":
        counts = Counter(finding.category.value for _series, finding in members)
        rare = sorted(name for name, count in counts.items() if count < parameters.least_class)
        words = {name: name for name in counts if name not in rare}
        protected = tuple(
            Rejection(
                "rare-class", f"{name!r} has {counts[name]} findings, too few for a classifier to speak about them"
            )
            for name in rare
        )
    else:
        words, protected = _bins(what, members, parameters.least_class)
    kept = tuple(pair for pair in members if _given(pair[1], what) in words)
    classes = tuple(sorted(set(words.values()), key=lambda name: (_step(name), name)))
    if len(classes) < 2 or len(kept) < _LEAST_FINDINGS:
        raise NotApplicable("one-class", f"{len(kept)} findings in {len(classes)} classes are too few to learn from")
    labels = np.array([classes.index(words[_given(finding, what)]) for _series, finding in kept], dtype=np.int_)
    return _Task(what, kept, labels, classes), protected


def _bins(what: str, members: Sequence[_Member], least: int) -> tuple[dict[str, str], tuple[Rejection, ...]]:
    """Return what each rating counts as: with its neighbours, from below, until there are enough of them."""
    ratings = Counter(one.characteristics[what] for _series, one in members if what in one.characteristics)
    groups: list[list[int]] = []
    for rating in sorted(ratings):
        if groups and sum(ratings[one] for one in groups[-1]) < least:
            groups[-1].append(rating)
        else:
            groups.append([rating])
    if len(groups) > 1 and sum(ratings[one] for one in groups[-1]) < least:
        groups[-2] += groups.pop()
    words: dict[str, str] = {}
    for group in groups:
        name = str(group[0]) if len(group) == 1 else f"{group[0]} to {group[-1]}"
        words |= {str(rating): name for rating in group}
    joined = [words[str(group[0])] for group in groups if len(group) > 1]
    said = f"{plain(what)} was compared as {', '.join(joined)} together, for single ratings are rare"
    return words, (Rejection("rare-class", said),) if joined else ()


def _step(name: str) -> int:
    """Where a rating, or several joined, stands on its scale; names of categories stand nowhere."""
    first = name.partition(" ")[0]
    return int(first) if first.lstrip("-").isdigit() else 0


def _given(finding: FindingFacts, what: str) -> str:
    if what == "category":
        return finding.category.value
    rating = finding.characteristics.get(what)
    return "" if rating is None else str(rating)


def _feature_names(members: Sequence[_Member]) -> list[str]:
    counts = Counter(name for _series, finding in members for name in finding.features if name not in MODEL_FEATURES)
    names = sorted(name for name, count in counts.items() if 10 * count >= len(members))
    if not names:
        raise NotApplicable("no-features", "nothing was measured of the findings")
    return names


def _value(finding: FindingFacts, name: str) -> float:
    value = finding.features.get(name, math.nan)
    return math.log(value) if name in _LOG_FEATURES and value > 0 else value


def _with_neighbours(task: _Task, probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the probabilities, each class's with those of its neighbours where values are steps of a scale."""
    if task.what in _NOMINAL:
        return probabilities
    found = probabilities.copy()
    found[:, :-1] += probabilities[:, 1:]
    found[:, 1:] += probabilities[:, :-1]
    return np.minimum(found, 1.0)


def _is_near(task: _Task, index: int, suggested: int) -> bool:
    return abs(suggested - int(task.labels[index])) <= (0 if task.what in _NOMINAL else 1)


def _skill(told: OutOfSample, classes: int) -> float:
    """Return how much of what guessing leaves the classifier gains, 0 to 1."""
    guessing = 1.0 / classes
    return max(0.0, (told.balanced_accuracy - guessing) / (1.0 - guessing))


def _telling(
    values: NDArray[np.float64], labels: NDArray[np.int_], index: int, suggested: int, names: Sequence[str]
) -> list[str]:
    """Return the features in which this finding is nearer to the suggested class than to its own, best first."""
    gains = []
    for column, name in enumerate(names):
        own, other = (_known(values[labels == one, column]) for one in (labels[index], suggested))
        value = float(values[index, column])
        if len(own) and len(other) and math.isfinite(value):
            spread = max(1e-9, float(np.std(np.concatenate([own, other]))))
            gain = (abs(value - float(np.median(own))) - abs(value - float(np.median(other)))) / spread
            gains.append((-gain, name))
    return [name for gain, name in sorted(gains)[:_NAMED] if gain < 0]


def _known(column: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(column[np.isfinite(column)])
