"""The steps of a delivery and of a series."""

from qaservice.common.transitions import StateMachine, Transition

INGEST = StateMachine(
    field="state",
    transitions=(
        Transition("start", frozenset({"received", "running"}), "running"),
        Transition("complete", frozenset({"running"}), "completed", "REQ-17"),
        Transition("fail", frozenset({"received", "running"}), "failed"),
    ),
)
