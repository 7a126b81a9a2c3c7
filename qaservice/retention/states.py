"""The steps of a disposition and of a destruction."""

from __future__ import annotations

from qaservice.common.transitions import StateMachine, Transition

DISPOSITION = StateMachine(
    "state",
    (
        Transition("approve", frozenset({"proposed"}), "approved", "REQ-41"),
        Transition("drop", frozenset({"proposed", "approved"}), "dropped", "REQ-41"),
        Transition("carry-out", frozenset({"approved"}), "carried-out", "REQ-41"),
    ),
)
DESTRUCTION = StateMachine("state", (Transition("finish", frozenset({"ordered"}), "done", "REQ-42"),))
