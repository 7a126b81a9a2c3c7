"""Of which injected errors each check speaks: what it is fitted to, and what counts for and against it."""

from __future__ import annotations

from collections.abc import Mapping

from imaging.phantom.label_errors import ErrorKind

EVERY_KIND = frozenset(ErrorKind)
OF_SETS = frozenset(kind for kind in ErrorKind if kind.of_a_whole_set)
OF_OUTLINES = frozenset(
    {
        ErrorKind.SHIFTED,
        ErrorKind.ERODED,
        ErrorKind.DILATED,
        ErrorKind.POLE_SLICES,
        ErrorKind.INNER_SLICES,
        ErrorKind.MERGED,
        ErrorKind.RUN_ON,
    }
)
OF_ABSENCE = frozenset({ErrorKind.MISSING, ErrorKind.MERGED, ErrorKind.SHIFTED}) | OF_SETS
"""What a flag on an empty place may have found: the true nodule has no label there."""

OF_PRESENCE = frozenset({ErrorKind.SPURIOUS, ErrorKind.SHIFTED, ErrorKind.DUPLICATED}) | OF_SETS
"""What a flag may have found that says of a label that nothing is there."""

OF_CLASS = frozenset({ErrorKind.WRONG_CATEGORY, ErrorKind.WRONG_RATING})

SPEAKS_OF: Mapping[str, frozenset[ErrorKind]] = {
    "missing_nodule": OF_ABSENCE,
    "spurious_label": OF_PRESENCE,
    "boundary": OF_OUTLINES,
    "incomplete_contour": OF_OUTLINES,
    "merged_lesions": frozenset({ErrorKind.MERGED, ErrorKind.RUN_ON}),
    "duplicate_mark": frozenset({ErrorKind.DUPLICATED}),
    "wrong_category": OF_CLASS,
    "confident_learning": OF_CLASS,
    "rules": OF_CLASS,
    "geometry_mismatch": OF_SETS | {ErrorKind.SHIFTED},
}
"""What each check may mean. Readers' disagreement, which is not in it, may mean anything about a label."""


def spoken_of(*, check: str, empty_place: bool) -> frozenset[ErrorKind]:
    """Return the errors that a check may have found; ``empty_place``: its issue names no label."""
    if check == "reader_disagreement":
        return OF_ABSENCE if empty_place else EVERY_KIND - {ErrorKind.MISSING}
    return SPEAKS_OF.get(check, EVERY_KIND)
