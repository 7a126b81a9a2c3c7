"""Names of files and folders, which are often called after people, and by which label files name their images.

One rule serves both the names of a delivery's files and the names that label files hold, so that a label still finds
its image. It looks at nothing but the name: what another file of the delivery says cannot change it.
"""

from __future__ import annotations

import re
from collections.abc import Set

from imaging.deidentification.keys import ProjectKeys
from imaging.deidentification.words import is_harmless_file_part

# Endings that say how a file is written. Anything else after a point belongs to the name.
_ENDINGS = re.compile(
    r"(?:\.(?:nii|nrrd|seg|mhd|mha|raw|dcm|dicom|ima|xml|json|csv|txt|png|jpe?g|tiff?|hdr|img|zip|tar|tgz|gz|bz2))+$",
    re.IGNORECASE,
)
_SEPARATORS = re.compile(r"([/\\]+)")
_NUMBERED = re.compile(r" \(number \d+ of this name\)$")


def clean_path(path: str, *, keys: ProjectKeys, identities: Set[str] = frozenset()) -> str:
    """Return a path in which no part can name anyone.

    A part (between slashes, without its ending) stays if it is made of known harmless words, single letters and numbers
    of up to 4 digits; a UID in it is mapped; any other part becomes ``n-`` and 12 hexadecimal digits. ``identities``
    are words (case-folded) that identify someone in the file of that name: a part that holds one is replaced too.
    """
    copy = _NUMBERED.search(path)
    stem = path[: copy.start()] if copy else path
    cleaned = "".join(
        part if not part or _SEPARATORS.fullmatch(part) else _clean_part(part, keys, identities)
        for part in _SEPARATORS.split(stem)
    )
    return cleaned + (copy[0] if copy else "")


def looks_like_a_path(text: str) -> bool:
    """Tell whether a text is written like the path or the name of a file."""
    return bool(_ENDINGS.search(text)) or bool(_SEPARATORS.search(text))


def _clean_part(part: str, keys: ProjectKeys, identities: Set[str]) -> str:
    if part in (".", ".."):
        return part
    found = _ENDINGS.search(part)
    stem, ending = (part[: found.start()], found[0].lower()) if found else (part, "")
    if is_harmless_file_part(stem, identities=identities):
        return part
    mapped = keys.map_uids_in(stem)
    rest = re.sub(r"2\.25\.\d+", "", mapped)
    if mapped != stem and is_harmless_file_part(rest, identities=identities):
        return mapped + ending
    return keys.name(stem, prefix="n") + ending
