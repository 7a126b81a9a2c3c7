"""An error of the analysis core arrives whole from another process."""

import pickle

import pytest

from imaging.errors import BundleError, GeometryError, ImagingError, NotApplicable, UnreadableFile, WriteMismatch


@pytest.mark.parametrize(
    "kind", [ImagingError, GeometryError, UnreadableFile, NotApplicable, BundleError, WriteMismatch]
)
def test_an_error_crosses_from_one_process_to_another_whole(kind: type[ImagingError]) -> None:
    error = kind("missing-slices", "Two slices are missing.", subjects=("1.2.3", "1.2.4"))
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert (again.code, again.message, again.subjects, str(again)) == (
        "missing-slices",
        "Two slices are missing.",
        ("1.2.3", "1.2.4"),
        "Two slices are missing.",
    )
