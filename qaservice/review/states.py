"""The order of steps of one read: blind verdict, reveal, final verdict (REQ-14, REQ-33)."""

from qaservice.common.transitions import StateMachine, Transition

ASSIGNMENT = StateMachine(
    field="state",
    transitions=(
        Transition("vote-blind", frozenset({"assigned"}), "blind-voted", "REQ-33"),
        Transition("reveal", frozenset({"blind-voted"}), "revealed", "REQ-33"),
        Transition("vote-final", frozenset({"revealed"}), "done", "REQ-14"),
        Transition("release", frozenset({"assigned", "blind-voted", "revealed"}), "released", "REQ-14"),
    ),
)
