"""Simulated readers: programs that vote through the REST API so that a demo's report has content.

They are marked as simulated wherever they appear, and cannot sign. On the synthetic cohort they compare the label with
what the generator put there, and err now and then; on anybody's own studies nobody knows the truth, so they follow the
score once it is revealed. Both are deterministic: the same seed gives the same votes.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deploy.demo.client import Client, Refused

BLIND_ACCURACY = 0.82
FINAL_ACCURACY = 0.93
UNDECIDED = 0.04
# A label whose size is off by more than this is held to be wrong; less is within what two outlines differ by.
SIZE_TOLERANCE = 0.25
SIZE_TOLERANCE_MM = 2.0
NEAR_MM = 6.0
BESIDE_MM = 4.0
STATES_OF_A_LOST_RACE = frozenset({"flag-settled", "wrong-state", "stale-revision"})


@dataclass(frozen=True)
class TrueNodule:
    """What the generator put into a synthetic scan. LPS millimetres."""

    centre_mm: tuple[float, float, float]
    diameter_mm: float
    category: str


@dataclass(frozen=True)
class Opinion:
    """What a reader would say: the label is right, or what it should be."""

    decision: str
    because: str
    correction: Mapping[str, object] | None = None


def look(*, case: Mapping[str, Any], nodules: Sequence[TrueNodule]) -> Opinion:
    """Return what somebody who sees the truth says about the label of one case."""
    place = case["place_mm"]
    label = case["label"]
    near = [nodule for nodule in nodules if math.dist(nodule.centre_mm, place) <= nodule.diameter_mm / 2 + NEAR_MM]
    nodule = min(near, key=lambda one: math.dist(one.centre_mm, place), default=None)
    if nodule is None:
        if label is None:
            return Opinion("label-right", "nothing to label at the marked place")
        return Opinion("label-wrong", "no lesion under this label", {"action": "remove"})
    sketch = {"centre_mm": list(nodule.centre_mm), "diameter_mm": nodule.diameter_mm, "category": nodule.category}
    if label is None:
        return Opinion("label-wrong", "a lesion that this set leaves out", {"action": "add", **sketch})
    if math.dist(nodule.centre_mm, place) > max(nodule.diameter_mm / 2, BESIDE_MM):
        return Opinion("label-wrong", "the outline lies beside the lesion", {"action": "replace-outline", **sketch})
    if label["category"] != nodule.category:
        correction = {"action": "recategorise", "category": nodule.category}
        return Opinion("label-wrong", f"this is a {nodule.category}", correction)
    size = label["diameter_mm"]
    if size is not None and abs(size - nodule.diameter_mm) > max(
        SIZE_TOLERANCE * nodule.diameter_mm, SIZE_TOLERANCE_MM
    ):
        return Opinion("label-wrong", "the outline does not fit the lesion", {"action": "replace-outline", **sketch})
    return Opinion("label-right", "the label fits what is there")


def follow(*, case: Mapping[str, Any]) -> Opinion:
    """Return the vote of a reader who knows no truth: undecided at first, then as the revealed score says."""
    revealed = case["revealed"]
    if revealed is None:
        return Opinion("cannot-tell", "undecided before the opinions are shown")
    if revealed["score"] >= 0.5 and revealed["proposals"]:
        return Opinion(
            "label-wrong", "follows the score, above one half", {"action": revealed["proposals"][0]["action"]}
        )
    return Opinion("label-right", "follows the score, below one half")


class SimulatedReader:
    """One voter. ``truth`` gives the nodules of a series by its Series Instance UID, or is None where nobody knows."""

    def __init__(
        self, *, name: str, client: Client, seed: int, truth: Callable[[str], Sequence[TrueNodule]] | None
    ) -> None:
        self._name = name
        self._client = client
        self._seed = seed
        self._truth = truth
        self._uids: dict[str, str] = {}

    def read(self, assignment_id: str) -> int:
        """Take one case to its final verdict and return how many verdicts that took; a lost race ends it quietly."""
        path = f"assignments/{assignment_id}/"
        given = 0
        try:
            case = self._client.get(path)
            if case["next_step"] == "blind":
                self._vote(path, case, "blind")
                given += 1
                case = self._client.get(path)
            if case["next_step"] == "reveal":
                case = self._client.post(f"{path}reveal/", {})
            if case["next_step"] == "final":
                self._vote(path, case, "final")
                given += 1
        except Refused as refusal:
            # Two agreeing verdicts settle a flag; whoever comes third is no longer needed.
            if refusal.code not in STATES_OF_A_LOST_RACE:
                raise
        return given

    def _vote(self, path: str, case: Mapping[str, Any], phase: str) -> None:
        opinion = self._with_error(self._opinion(case), case=case, phase=phase)
        body: dict[str, object] = {
            "decision": opinion.decision,
            "rationale": f"Simulated reader: {opinion.because}.",
        }
        if phase == "final" and opinion.decision == "label-wrong":
            proposals = case["revealed"]["proposals"]
            wanted = opinion.correction or {}
            fitting = [proposal for proposal in proposals if proposal["action"] == wanted.get("action")]
            if fitting:
                body["proposal_id"] = fitting[0]["id"]
            else:
                body["correction"] = dict(wanted)
        self._client.post(f"{path}verdicts/", body)

    def _opinion(self, case: Mapping[str, Any]) -> Opinion:
        if self._truth is None:
            return follow(case=case)
        return look(case=case, nodules=self._truth(self._series_uid(str(case["series"]))))

    def _with_error(self, opinion: Opinion, *, case: Mapping[str, Any], phase: str) -> Opinion:
        # Flag numbers depend on which worker was quicker; place and label do not.
        subject = f"{case['place_mm']}/{case['label'] and case['label']['diameter_mm']}"
        draw = random.Random(f"{self._seed}/{self._name}/{subject}/{phase}").random()
        accuracy = BLIND_ACCURACY if phase == "blind" else FINAL_ACCURACY
        if self._truth is None or draw < accuracy:
            return opinion
        if draw < accuracy + UNDECIDED:
            return Opinion("cannot-tell", "cannot tell on these images")
        if opinion.decision == "label-wrong":
            return Opinion("label-right", "sees nothing wrong with the label")
        proposals = case["revealed"]["proposals"] if case["revealed"] else []
        if phase == "final" and not proposals:
            return Opinion("cannot-tell", "cannot tell on these images")
        return Opinion(
            "label-wrong", "agrees with the doubt", {"action": proposals[0]["action"]} if proposals else None
        )

    def _series_uid(self, series: str) -> str:
        if series not in self._uids:
            self._uids[series] = str(self._client.get(f"series/{series}/")["series_instance_uid"])
        return self._uids[series]
