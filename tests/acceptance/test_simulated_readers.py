"""The demo's simulated readers: what they say where they see the truth, and where nobody knows it."""

from __future__ import annotations

from typing import Any

import pytest

from deploy.demo.client import Refused
from deploy.demo.readers import SimulatedReader, TrueNodule, follow, look

NODULE = TrueNodule(centre_mm=(10.0, 20.0, 30.0), diameter_mm=8.0, category="nodule >= 3 mm")
LABEL = {"category": "nodule >= 3 mm", "diameter_mm": 8.5}


def case(**changes: Any) -> dict[str, Any]:
    return {
        "flag": {"number": 1},
        "series": "s",
        "place_mm": [10.0, 20.0, 31.0],
        "label": LABEL,
        "revealed": None,
        "next_step": "blind",
        **changes,
    }


def revealed(*, score: float, actions: tuple[str, ...]) -> dict[str, Any]:
    return {"score": score, "proposals": [{"id": f"p{n}", "action": a} for n, a in enumerate(actions, start=1)]}


@pytest.mark.parametrize(
    ("changes", "nodules", "decision", "action"),
    [
        ({}, [NODULE], "label-right", None),
        ({"label": None}, [NODULE], "label-wrong", "add"),
        ({}, [], "label-wrong", "remove"),
        ({"label": None}, [], "label-right", None),
        ({"label": {**LABEL, "diameter_mm": 14.0}}, [NODULE], "label-wrong", "replace-outline"),
        ({"label": {**LABEL, "category": "non-nodule"}}, [NODULE], "label-wrong", "recategorise"),
        ({"place_mm": [60.0, 20.0, 31.0]}, [NODULE], "label-wrong", "remove"),
        ({"place_mm": [10.0, 20.0, 37.5]}, [NODULE], "label-wrong", "replace-outline"),
    ],
)
def test_a_simulated_reader_compares_the_label_with_what_is_there(
    changes: dict[str, Any], nodules: list[TrueNodule], decision: str, action: str | None
) -> None:
    opinion = look(case=case(**changes), nodules=nodules)
    assert opinion.decision == decision
    assert (opinion.correction or {}).get("action") == action


def test_without_a_truth_a_simulated_reader_is_undecided_until_the_score_is_shown() -> None:
    assert follow(case=case()).decision == "cannot-tell"
    assert follow(case=case(revealed=revealed(score=0.8, actions=("add",)))).decision == "label-wrong"
    assert follow(case=case(revealed=revealed(score=0.2, actions=("add",)))).decision == "label-right"
    assert follow(case=case(revealed=revealed(score=0.8, actions=()))).decision == "label-right"


class RecordingService:
    """Stands in for the REST API: walks one case through its steps and keeps what was sent."""

    def __init__(self, *, refuse_with: str = "") -> None:
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self._step = "blind"
        self._refuse_with = refuse_with

    def get(self, path: str) -> Any:
        if path.startswith("series/"):
            return {"series_instance_uid": "1.2.3"}
        opinions = revealed(score=0.9, actions=("replace-outline",)) if self._step == "final" else None
        return case(label={**LABEL, "diameter_mm": 20.0}, next_step=self._step, revealed=opinions)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        if self._refuse_with:
            raise Refused(409, self._refuse_with, "settled meanwhile")
        self.sent.append((path, body))
        self._step = {"blind": "reveal", "reveal": "final", "final": "none"}[self._step]
        return self.get("assignments/a/")


def reader(service: RecordingService, *, name: str = "r") -> SimulatedReader:
    # RecordingService has the two methods of Client that a reader uses.
    return SimulatedReader(name=name, client=service, seed=4, truth=lambda _uid: [NODULE])  # type: ignore[arg-type]


@pytest.mark.requirement("REQ-14")
def test_a_simulated_reader_votes_blind_then_has_the_opinions_revealed_then_votes_again() -> None:
    service = RecordingService()
    assert reader(service).read("a") == 2
    assert [path for path, _ in service.sent] == [
        "assignments/a/verdicts/",
        "assignments/a/reveal/",
        "assignments/a/verdicts/",
    ]
    blind, _, final = (body for _, body in service.sent)
    assert "proposal_id" not in blind
    assert "correction" not in blind
    assert all("Simulated reader" in body["rationale"] for body in (blind, final))


def test_the_same_seed_gives_the_same_votes_and_readers_differ() -> None:
    def votes(name: str) -> list[dict[str, Any]]:
        service = RecordingService()
        reader(service, name=name).read("a")
        return [body for _, body in service.sent]

    assert votes("r") == votes("r")
    everybody = [votes(f"r{number}") for number in range(40)]
    decisions = {body[-1]["decision"] for body in everybody}
    assert "label-wrong" in decisions
    assert len(decisions) > 1, "simulated readers never err"


def test_a_flag_that_others_settled_ends_the_reading_quietly() -> None:
    assert reader(RecordingService(refuse_with="flag-settled")).read("a") == 0
    with pytest.raises(Refused):
        reader(RecordingService(refuse_with="not-permitted")).read("a")
