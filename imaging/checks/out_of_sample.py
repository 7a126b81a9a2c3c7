"""Out-of-sample class probabilities of findings from a simple classifier that never saw their patient."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imaging.errors import NotApplicable


@dataclass(frozen=True, slots=True, eq=False)
class OutOfSample:
    """``probabilities``: (n, classes), each row from a model that was not fitted on that row's patient.

    ``balanced_accuracy``: mean share of each class that was told right; 1 / classes is guessing.
    """

    probabilities: NDArray[np.float64]
    balanced_accuracy: float


def out_of_sample(
    *,
    values: NDArray[np.float64],
    labels: NDArray[np.int_],
    patients: Sequence[str],
    folds: int,
    seed: int,
) -> OutOfSample:
    """Return cross-validated probabilities of multinomial logistic regression; deterministic in ``seed``.

    ``values``: (n, features), NaN where unknown: replaced by the median of the training part, with an indicator
    beside it, for what cannot be measured (a point has no volume) tells something too. Features are standardised.
    Folds keep a patient together and classes in proportion (StratifiedGroupKFold).
    Raises NotApplicable ``too-few-patients`` where a class has fewer patients than folds.
    """
    # Late: scikit-learn takes half a second to import, and most who load the checks never get here.
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.model_selection import StratifiedGroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classes = int(labels.max()) + 1
    groups = np.asarray(patients)
    fewest = min(len(set(groups[labels == one])) for one in range(classes))
    if fewest < folds:
        raise NotApplicable(
            "too-few-patients", f"a class is found in {fewest} patients; {folds} are needed to set some apart"
        )
    found = np.zeros((len(labels), classes))
    for train, test in StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(values, labels, groups):
        model = make_pipeline(
            SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True),
            StandardScaler(),
            LogisticRegression(C=0.5, max_iter=500),
        )
        with warnings.catch_warnings():
            # A fit that stopped short of its last digit still ranks; its skill is measured below.
            warnings.simplefilter("ignore")
            model.fit(values[train], labels[train])
        found[np.ix_(test, model.classes_)] = model.predict_proba(values[test])
    # No class is impossible: confident learning divides by what is given to each.
    found = np.clip(found, 1e-6, None)
    found /= found.sum(axis=1, keepdims=True)
    return OutOfSample(found, float(balanced_accuracy_score(labels, found.argmax(axis=1))))
