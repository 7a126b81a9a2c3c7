"""What a reader is called here: never by name, yet the same across the files of one person."""

from __future__ import annotations

import hashlib

from pydicom.dataset import Dataset

from imaging.errors import UnreadableFile


def reader_pseudonym(name: str) -> str:
    """Return ``"reader "`` and eight hexadecimal digits of SHA-256 of a person's name, blanks around it left out.

    The digits tell two readers apart and recognise one again; whoever knows the name can find them, so they are a
    pseudonym and not anonymous.
    """
    return "reader " + hashlib.sha256(name.strip().encode()).hexdigest()[:8]


def person_of(dataset: Dataset, keyword: str) -> str:
    """Return a person name element as text, empty if absent or blank. Raises UnreadableFile ``bad-value``."""
    try:
        value = dataset.get(keyword)
        # A PersonName iterates over its characters, so it must not be joined like a list of values.
        return "" if value is None else str(value).strip().strip("\x00").strip("^ ")
    # A lazily parsed element raises here whatever its damaged bytes provoke.
    except Exception as error:
        raise UnreadableFile("bad-value", f"{keyword} cannot be read ({type(error).__name__}).") from error
