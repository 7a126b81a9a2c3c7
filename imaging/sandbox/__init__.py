"""Running parsers of untrusted files in child processes, within bounds of time and memory. Standard library only.

A file that loops, exhausts memory or crashes a codec takes its child down, never the process that asked: the caller
gets an ``UnreadableFile``, and the next call a fresh child. The bounds hold against accidents and hostile files; a
child has the rights of its parent's user, so this is no border against code that was taken over.
"""

from imaging.sandbox.limits import SandboxLimits
from imaging.sandbox.sandbox import Answer, Sandbox

__all__ = ["Answer", "Sandbox", "SandboxLimits"]
