"""Stands before the history package's command of the same name, and refuses: history is written by changes alone."""

from compliance.management.refusal import RefusedCommand as Command

__all__ = ["Command"]
