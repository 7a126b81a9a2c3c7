"""The steps of runs and flags."""

from qaservice.common.transitions import StateMachine, Transition

RUN = StateMachine(
    field="state",
    transitions=(
        Transition("start", frozenset({"queued"}), "running"),
        Transition("complete", frozenset({"running"}), "completed", "REQ-36"),
        Transition("fail", frozenset({"queued", "running"}), "failed"),
        Transition("cancel", frozenset({"queued", "running"}), "cancelled"),
    ),
)

CONCERN = StateMachine(
    field="state",
    transitions=(
        Transition("confirm", frozenset({"open", "dismissed"}), "confirmed", "REQ-13"),
        Transition("dismiss", frozenset({"open", "confirmed"}), "dismissed", "REQ-13"),
    ),
)

FLAG = StateMachine(
    field="state",
    transitions=(
        Transition("settle", frozenset({"open", "disputed"}), "settled", "REQ-14"),
        Transition("dispute", frozenset({"open"}), "disputed", "REQ-32"),
        Transition("reopen", frozenset({"settled"}), "open", "REQ-11"),
    ),
)
