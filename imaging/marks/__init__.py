"""Readers' marks judged without their images: what contradicts itself, and what stands against the other readers."""
