"""FiftyOne Brain's published rule, re-stated, and the plain disagreement that annotation platforms rank by.

The rule is that of ``fiftyone.brain.internal.core.mistakenness`` (fiftyone-brain 0.27.0, Apache-2.0): predictions and
labels are matched across classes at an IoU of 0.5, surest prediction first; an unmatched prediction of a confidence
above 0.95 is missing; every unmatched label is spurious; a matched label has a mistakenness of class,
``(m c + 1) / 2`` with m = 1 for another class and -1 for the same, and of location, ``(c (2 i - 1) + 1) / 2`` with
i = (1 - IoU) / (1 - 0.5). FiftyOne itself needs a database server and is not run. Its boxes are replaced by voxels in
3-D here, which serves it better: a box's corners are no part of a round thing.
"""

from __future__ import annotations

import numpy as np

from imaging.phantom.label_errors import ErrorKind
from tests.benchmarks.labels.flags import OF_ABSENCE, OF_CLASS, OF_OUTLINES, OF_PRESENCE, Flag
from tests.benchmarks.labels.seen import Seen

NEAR_MM = 2.5


def brain_rule(seen: Seen, knobs: tuple[float, ...]) -> list[Flag]:
    """Return the flags of the rule. Ungraded ones are all as suspect as the surest graded one can be.

    ``knobs``: confidence above which an unmatched prediction is missing, IoU from which two match, and 1 where
    unmatched labels are graded by the confidence of what touches them, which the rule does not do.
    """
    missing_above, least_iou, graded = knobs
    label_of: dict[int, int] = {}
    prediction_of: dict[int, int] = {}
    for column in np.argsort(-seen.probabilities, kind="stable"):
        free = [row for row in range(len(seen.labels)) if row not in prediction_of]
        best = max(free, key=lambda row: float(seen.iou[row, column]), default=None)
        if best is not None and seen.iou[best, column] >= least_iou:
            label_of[int(column)], prediction_of[best] = best, int(column)
    flags = []
    for column, region in enumerate(seen.predictions):
        confidence = float(seen.probabilities[column])
        if column not in label_of and confidence > missing_above:
            flags.append(Flag(seen.set_id, None, region.place_mm, region.radius_mm, confidence, OF_ABSENCE))
    for row, label in enumerate(seen.labels):
        if row not in prediction_of:
            touching = seen.probabilities[seen.iou[row] > 0]
            spurious = 1.0 - float(touching.max()) if graded and len(touching) else 1.0
            flags.append(_about(seen, row, spurious, OF_PRESENCE | OF_OUTLINES))
            continue
        column = prediction_of[row]
        confidence = float(seen.probabilities[column])
        m = -1.0 if label.nodule else 1.0
        i = (1.0 - float(seen.iou[row, column])) / (1.0 - least_iou)
        flags.append(_about(seen, row, (m * confidence + 1.0) / 2.0, OF_CLASS))
        flags.append(_about(seen, row, (confidence * (2.0 * i - 1.0) + 1.0) / 2.0, OF_OUTLINES))
    return flags


def disagreement(seen: Seen, knobs: tuple[float, ...]) -> list[Flag]:
    """Return every disagreement of labels and predictions, as suspect as the prediction is confident.

    A prediction that no label touches or lies near is missing, with its probability; a label is spurious with the
    probability that nothing is there, and badly drawn with that of the prediction it overlaps most, times what they do
    not share.
    """
    del knobs
    flags = []
    for column, region in enumerate(seen.predictions):
        near = [
            row
            for row, label in enumerate(seen.labels)
            if seen.iou[row, column] > 0
            or seen.distance_mm[row, column] <= max(label.region.radius_mm, region.radius_mm, NEAR_MM)
        ]
        if not near:
            confidence = float(seen.probabilities[column])
            flags.append(Flag(seen.set_id, None, region.place_mm, region.radius_mm, confidence, OF_ABSENCE))
    for row, label in enumerate(seen.labels):
        touching = np.flatnonzero((seen.iou[row] > 0) | (seen.distance_mm[row] <= max(label.region.radius_mm, NEAR_MM)))
        surest = float(seen.probabilities[touching].max()) if len(touching) else 0.0
        if not label.nodule:
            flags.append(_about(seen, row, surest, OF_CLASS))
            continue
        flags.append(_about(seen, row, 1.0 - surest, OF_PRESENCE))
        if len(touching) and label.finding.mask is not None:
            best = int(touching[seen.iou[row, touching].argmax()])
            share = 1.0 - float(seen.iou[row, best])
            flags.append(_about(seen, row, float(seen.probabilities[best]) * share, OF_OUTLINES))
    return flags


def _about(seen: Seen, row: int, score: float, kinds: frozenset[ErrorKind]) -> Flag:
    label = seen.labels[row]
    return Flag(seen.set_id, label.finding.finding_id, label.region.place_mm, label.region.radius_mm, score, kinds)
