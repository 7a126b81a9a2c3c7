"""Of what the benchmark's programs found, each figure is made as its note says."""

from __future__ import annotations

from tests.benchmarks.ledger import measure

APPENDED = {"a_second": {"single": [90.0, 100.0, 300.0], "tens": [1000.0], "rows": [40.0, 60.0]}, "unsealed": 0}
CREATED = {
    "creations": 300,
    "seconds": {
        "bare": [1.0, 2.0, 3.0],
        "recorded": [3.0, 9.0, 2.0],
        "bare_together": [0.5],
        "recorded_together": [2.0],
    },
}
VERIFIED = {
    "live_events": 10_000,
    "kit_events": 200_000,
    "seconds": {"live": 2.0, "kit": [9.0, 4.0, 5.0]},
    "processor_seconds": {"live": 1.5, "kit": 3.0},
    "proof_ms": [3.0, 40.0, 4.0],
}


def test_figures_are_medians_and_verification_counts_for_a_million_events() -> None:
    lines = [*measure._append_lines(APPENDED), *measure._overhead_lines(CREATED), *measure._verified_lines(VERIFIED)]
    assert {line.bench: line.value for line in lines} == {
        measure.APPEND: 100.0,
        measure.TENS: 1000.0,
        measure.ROWS: 50.0,
        measure.OVERHEAD: 1.5,
        measure.TOGETHER: 4.0,
        measure.KIT: 25.0,
        measure.LIVE: 200.0,
        measure.PROOF: 4.0,
    }
    assert tuple(line.bench for line in lines) == measure.NAMES


def test_the_notes_say_what_every_round_gave() -> None:
    (appended, *_), (created, *_) = measure._append_lines(APPENDED), measure._overhead_lines(CREATED)
    assert "in turn: 90, 100, 300; 1,000; 40, 60." in appended.note
    assert "in turn: 3.33, 6.67, 10 and 10, 30, 6.67; together: 1.67 and 6.67." in created.note


def test_the_note_says_of_how_many_events_a_figure_is() -> None:
    for line in measure._verified_lines(VERIFIED):
        assert "200,000 events" in line.note
        assert "10,000 such events" in line.note
        assert "15 s and 150 s of a processor's time" in line.note
