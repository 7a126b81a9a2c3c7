"""The steps of a delivery and of a series."""

from qaservice.common.transitions import StateMachine, Transition

INGEST = StateMachine(
    field="state",
    transitions=(
        Transition("close", frozenset({"open"}), "received", "REQ-17"),
        Transition("start", frozenset({"received", "running"}), "running"),
        Transition("complete", frozenset({"running"}), "completed", "REQ-17"),
        Transition("fail", frozenset({"open", "received", "running"}), "failed"),
    ),
)

_VERDICTS = frozenset({"accepted", "accepted-with-warning", "refused"})

# A series is judged anew whenever instances of it arrive; any verdict may follow any other.
SERIES = StateMachine(
    field="state",
    transitions=(
        Transition("accept", _VERDICTS, "accepted", "REQ-17"),
        Transition("accept-with-warning", _VERDICTS, "accepted-with-warning", "REQ-17"),
        Transition("refuse", _VERDICTS, "refused", "REQ-17"),
    ),
)
