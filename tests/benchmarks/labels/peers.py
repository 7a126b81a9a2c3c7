"""The peers of the comparison, each with its knobs. Knobs are chosen on the seeds that scores are fitted on.

Everybody gets the same calibrated predictions, and matching in 3-D millimetres wherever the peer's own code leaves room
for it. Class 0 is a nodule, class 1 a mark of something else; predictions are of class 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.benchmarks.labels.cleanlab_objects import default_objects, tuned_objects
from tests.benchmarks.labels.cleanlab_pixels import default_pixels, tuned_pixels
from tests.benchmarks.labels.flags import Flag
from tests.benchmarks.labels.rules import brain_rule, disagreement
from tests.benchmarks.labels.seen import Seen

Knobs = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Peer:
    """One method. ``knobs``: the settings to choose from, as its function takes them; one where nothing is tuned."""

    name: str
    family: str
    flags: Callable[[Seen, Knobs], list[Flag]]
    knobs: tuple[Knobs, ...]


CLEANLAB = "cleanlab"
BRAIN = "FiftyOne Brain"
PLAIN = "confidence"

PEERS: Sequence[Peer] = (
    Peer("cleanlab object detection, defaults", CLEANLAB, default_objects, ((),)),
    Peer(
        "cleanlab object detection, tuned, in 3-D mm",
        CLEANLAB,
        tuned_objects,
        # From which probability a prediction may be overlooked, and from which it may say where a label belongs;
        # whether overlooked ones are ranked by their probability.
        tuple((high, low, ranked) for high in (0.3, 0.6, 0.9) for low in (0.1, 0.5) for ranked in (0.0, 1.0)),
    ),
    Peer("cleanlab segmentation, defaults", CLEANLAB, default_pixels, ((),)),
    Peer(
        "cleanlab segmentation, tuned",
        CLEANLAB,
        tuned_pixels,
        # Below which score a pixel is in question, and the least volume in mm3 of a region of such pixels.
        tuple((score, volume) for score in (0.2, 0.5) for volume in (15.0, 40.0, 100.0)),
    ),
    Peer("FiftyOne Brain's rule, re-stated", BRAIN, brain_rule, ((0.95, 0.5, 0.0),)),
    Peer(
        "FiftyOne Brain's rule, re-stated, tuned",
        BRAIN,
        brain_rule,
        # Confidence above which an unmatched prediction is missing, IoU of a match, and whether spurious ones are
        # ranked by how little any prediction touches them.
        tuple((high, iou, 1.0) for high in (0.3, 0.6, 0.9) for iou in (0.1, 0.3, 0.5)),
    ),
    Peer("highest-confidence disagreement", PLAIN, disagreement, ((),)),
)
