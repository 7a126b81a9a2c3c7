"""What one call in a sandbox may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SandboxLimits:
    """Bounds on one call.

    ``seconds``: wall-clock time and, rounded up, processor time. ``memory_bytes``: address space on top of what the
    child holds before the call, so that the interpreter and its libraries do not count.
    """

    seconds: float
    memory_bytes: int

    def __post_init__(self) -> None:
        if not self.seconds > 0:
            raise ValueError("seconds must be greater than zero")
        if self.memory_bytes <= 0:
            raise ValueError("memory_bytes must be greater than zero")
