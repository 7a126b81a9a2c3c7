"""Running MONAI bundles that others made: read as text, approved by people, run in confinement.

A bundle's configuration is code: its ``$`` expressions and ``_target_`` entries are evaluated by whoever runs it.
``inspection`` reads everything as plain text and runs nothing; ``running`` starts a confined process of its own for
each series; ``child`` is that process. Nothing here decides whether a bundle may run: the caller does.
"""
