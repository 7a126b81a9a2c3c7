"""NIfTI and NRRD label volumes: the image's own grid in any storage order, or refused with what would have fitted."""

from __future__ import annotations

import bz2
import gzip
import io
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK
from numpy.typing import NDArray

from imaging.errors import UnreadableFile
from imaging.masks.build import full_voxels
from imaging.readers import label_values, nifti, nrrd
from imaging.readers.formats import LabelFormat, ReadContext
from imaging.readers.limits import CT_READ_LIMITS
from imaging.readers.vocabulary import LUNG_CT_VOCABULARY
from imaging.types import AnnotationImport, Category, Finding, SetKind
from tests.imaging.readers import test_segmentation
from tests.imaging.readers.label_makers import label_array, lps_affine
from tests.imaging.readers.label_makers import nifti as nifti_bytes
from tests.imaging.readers.label_makers import nrrd as nrrd_bytes

IMAGE = test_segmentation.image()


def read(data: bytes, *, form: LabelFormat = nifti.FORMAT, name: str = "labels/made.nii") -> AnnotationImport:
    return form.read(data, IMAGE, ReadContext(name, LUNG_CT_VOCABULARY, CT_READ_LIMITS, fraction_threshold=0.5))


def findings(found: AnnotationImport) -> tuple[Finding, ...]:
    (one,) = found.annotation_sets
    return one.findings


def code_of(found: AnnotationImport) -> str:
    assert found.annotation_sets == ()
    (rejection,) = found.rejections
    return rejection.code


def expected(values: NDArray[np.generic]) -> NDArray[np.bool_]:
    """(column, row, slice) as (slice, row, column)."""
    return np.asarray(values != 0).T


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0), (0, 2, 1)])
@pytest.mark.parametrize("backwards", [(False, False, False), (True, False, True), (True, True, True)])
def test_storage_order_and_direction_do_not_matter(
    order: tuple[int, int, int], backwards: tuple[bool, bool, bool]
) -> None:
    values, affine = label_array(), lps_affine()
    values[0, 0, 0] = 0
    stored = values.transpose(order)
    matrix = np.eye(4)
    matrix[:3, :3] = affine[:3, :3][:, list(order)]
    matrix[:3, 3] = affine[:3, 3]
    for axis, back in enumerate(backwards):
        if back:
            stored = np.flip(stored, axis)
            matrix[:3, 3] += matrix[:3, axis] * (stored.shape[axis] - 1)
            matrix[:3, axis] *= -1
    (finding,) = findings(read(nifti_bytes(affine=matrix, values=np.ascontiguousarray(stored))))
    assert finding.mask is not None
    assert np.array_equal(full_voxels(finding.mask), expected(values))
    assert finding.round_trip is not None
    assert finding.round_trip.mm < 1e-4


def test_ras_taken_for_lps_is_refused_with_axes_and_millimetres() -> None:
    data = nifti_bytes(affine=np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps_affine(), values=label_array())
    found = read(data)
    assert code_of(found) == "label-flipped"
    assert found.rejections[0].subjects == ("x", "y")
    # The corner (-4, -3) against (4, 3) is 10.0 mm apart; none is farther.
    assert "10.0 mm" in found.rejections[0].message


@pytest.mark.parametrize(("axis", "name"), [(0, "x"), (1, "y"), (2, "z")])
def test_a_dropped_sign_of_one_direction_is_refused_by_its_axis(axis: int, name: str) -> None:
    affine = lps_affine()
    affine[axis, axis] *= -1
    found = read(nifti_bytes(affine=affine, values=label_array()))
    assert code_of(found) == "label-flipped"
    assert found.rejections[0].subjects == (name,)


@pytest.mark.parametrize(
    ("shift", "words"),
    [
        ((0.0, 0.0, 3.0), "-2 slices (-3.00 mm)"),
        ((0.0, -1.5, 0.0), "+3 rows (+1.50 mm)"),
        ((0.5, 0.0, -1.5), "+1 slices (+1.50 mm), -1 columns (-0.50 mm)"),
    ],
)
def test_a_shift_by_whole_voxels_is_refused_with_the_shift_that_would_fit(
    shift: tuple[float, float, float], words: str
) -> None:
    found = read(nifti_bytes(affine=lps_affine(shift_mm=shift), values=label_array()))
    assert code_of(found) == "label-shifted"
    assert words in found.rejections[0].message


def test_a_label_between_the_voxels_that_covers_only_a_part_is_refused() -> None:
    found = read(nifti_bytes(affine=lps_affine(shift_mm=(0.7, 0.7, 0.2)), values=label_array(shape=(9, 6, 5))))
    assert code_of(found) == "label-grid-disagrees"
    assert "5 x 6 x 9" in found.rejections[0].message


def test_turned_axes_are_refused() -> None:
    affine = lps_affine()
    cosine, sine = np.cos(0.05), np.sin(0.05)
    affine[:2, :2] = np.array([[cosine, -sine], [sine, cosine]]) @ affine[:2, :2]
    assert code_of(read(nifti_bytes(affine=affine, values=label_array()))) == "orientation-disagrees"


def test_a_crop_of_the_image_s_own_grid_is_placed_exactly() -> None:
    whole = label_array()
    part = np.ascontiguousarray(whole[1:10, 1:8, 1:6])
    (finding,) = findings(read(nifti_bytes(affine=lps_affine(shift_mm=(0.5, 0.5, 1.5)), values=part)))
    assert finding.mask is not None
    assert np.array_equal(full_voxels(finding.mask), expected(whole))


def test_a_larger_grid_is_cut_and_what_lies_outside_the_image_is_left_out_by_name() -> None:
    values = np.zeros((16, 8, 6), dtype=np.uint8)
    values[2:9, 1:7, 2:5] = 1
    values[13:15, 2:4, 2:4] = 2
    found = read(nifti_bytes(affine=lps_affine(), values=values))
    assert [finding.source_label for finding in findings(found)] == ["label 1"]
    (rejection,) = found.rejections
    assert rejection.code == "label-outside-image"
    assert "label 2" in rejection.message
    assert "1.2 mm" in rejection.message  # its last column, 14, lies 2.5 columns beyond the image's edge at 11.5


def test_another_sampling_that_covers_the_image_is_resampled_and_says_what_it_cost() -> None:
    coarse = np.zeros((6, 4, 3), dtype=np.uint8)
    coarse[1:4, 1:3, 1] = 3
    affine = np.diag([1.0, 1.0, 3.0, 1.0])
    affine[:3, 3] = lps_affine()[:3, 3] + [0.25, 0.25, 0.75]
    found = read(nifti_bytes(affine=affine, values=coarse))
    (finding,) = findings(found)
    assert [rejection.code for rejection in found.rejections] == ["resampled"]
    whole = np.zeros((6, 8, 12), dtype=np.bool_)
    whole[2:4, 2:6, 2:8] = True
    assert finding.mask is not None
    assert np.array_equal(full_voxels(finding.mask), whole)
    # A coarse voxel's centre lies half a fine voxel from the fine ones on every axis.
    assert finding.round_trip is not None
    assert finding.round_trip.mm == pytest.approx(np.linalg.norm([0.25, 0.25, 0.75]), abs=1e-5)
    assert finding.round_trip.voxels == pytest.approx(0.5, abs=1e-5)


def test_quaternion_and_matrix_that_disagree_are_refused_in_millimetres() -> None:
    image = nibabel.Nifti1Image(label_array(), np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps_affine())
    image.set_sform(image.affine, code=1)
    moved = np.array(image.affine)
    moved[2, 3] += 4.5
    image.set_qform(moved, code=1)
    found = read(bytes(image.to_bytes()))
    assert code_of(found) == "qform-sform-disagree"
    assert "4.5 mm" in found.rejections[0].message


def test_a_volume_that_does_not_say_where_it_lies_is_refused() -> None:
    image = nibabel.Nifti1Image(label_array(), None)
    assert int(image.header["sform_code"]) == int(image.header["qform_code"]) == 0
    assert code_of(read(bytes(image.to_bytes()))) == "no-label-position"


def test_one_finding_a_value_where_there_are_several() -> None:
    values = label_array()
    values[2:4] *= 7
    values[11, 7, 5] = 7
    found = findings(read(nifti_bytes(affine=lps_affine(), values=values)))
    assert [finding.source_label for finding in found] == ["label 1", "label 7"]
    assert {finding.category for finding in found} == {Category.STRUCTURE}
    assert sum(finding.mask.count for finding in found if finding.mask is not None) == int((values != 0).sum())


def test_a_binary_mask_gives_a_finding_for_each_part_that_touches_not_even_at_a_corner() -> None:
    values = np.zeros((12, 8, 6), dtype=np.uint8)
    values[1:4, 1:4, 1:3] = 255
    values[4, 4, 3] = 255  # touches across a corner
    values[8:10, 5:7, 4] = 255
    found = findings(read(nifti_bytes(affine=lps_affine(), values=values), name="labels/lung_nodules.nii.gz"))
    assert [finding.mask.count for finding in found if finding.mask is not None] == [19, 4]
    assert {finding.source_label for finding in found} == {"label 255"}
    assert {finding.category for finding in found} == {Category.NODULE_LT_3MM}


def test_a_probability_map_is_cut_at_the_threshold_and_keeps_its_mean_as_confidence() -> None:
    values = label_array().astype(np.float32)
    values[values > 0] = 0.8
    values[0, 0, 0] = 0.3
    found = read(nifti_bytes(affine=lps_affine(), values=values))
    (finding,) = findings(found)
    assert finding.confidence == pytest.approx(0.8)
    assert found.annotation_sets[0].kind is SetKind.ALGORITHM
    assert finding.mask is not None
    assert np.array_equal(full_voxels(finding.mask), expected(label_array()))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.full((12, 8, 6), -3, dtype=np.int16), "least value is -3"),
        (np.full((12, 8, 6), 1.5, dtype=np.float32), "fractions up to 1.5"),
        (np.full((12, 8, 6), np.nan, dtype=np.float32), "not finite"),
    ],
)
def test_an_image_is_not_taken_for_labels(values: NDArray[np.generic], words: str) -> None:
    found = read(nifti_bytes(affine=lps_affine(), values=values))
    assert code_of(found) == "not-a-label-map"
    assert words in found.rejections[0].message


def test_more_values_than_any_atlas_has_are_an_image_s(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.arange(12 * 8 * 6, dtype=np.int16).reshape(12, 8, 6)
    data = nifti_bytes(affine=lps_affine(), values=values)
    assert len(findings(read(data))) == 575
    monkeypatch.setattr(label_values, "LABELS_AT_MOST", 574)
    assert code_of(read(data)) == "not-a-label-map"


@pytest.mark.parametrize("shape", [(12, 8, 6, 2), (12, 8)])
def test_a_volume_of_more_or_fewer_than_three_axes_is_refused_by_its_sizes(shape: tuple[int, ...]) -> None:
    found = read(nifti_bytes(affine=lps_affine(), values=np.ones(shape, dtype=np.uint8)))
    assert code_of(found) == "not-three-dimensional"


def test_a_mask_in_more_parts_than_nodules_come_in_stays_one_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.zeros((12, 8, 6), dtype=np.uint8)
    values[::2, ::2, ::2] = 1
    monkeypatch.setattr(label_values, "COMPONENTS_AT_MOST", 71)
    found = read(nifti_bytes(affine=lps_affine(), values=values))
    (finding,) = findings(found)
    assert finding.mask is not None
    assert np.array_equal(full_voxels(finding.mask), expected(values))
    assert [rejection.code for rejection in found.rejections] == ["many-components"]
    monkeypatch.setattr(label_values, "COMPONENTS_AT_MOST", 72)
    assert len(findings(read(nifti_bytes(affine=lps_affine(), values=values)))) == 72


def test_label_numbers_may_be_large_or_written_as_fractions_that_are_whole() -> None:
    values = label_array().astype(np.int32)
    values[2:4] *= 1_000_000
    for stored in (values, values.astype(np.float64), values.astype(np.uint32)):
        one, other = findings(read(nifti_bytes(affine=lps_affine(), values=stored)))
        assert [one.source_label, other.source_label] == ["label 1", "label 1000000"]
        assert one.mask is not None
        assert other.mask is not None
        assert np.array_equal(full_voxels(one.mask), expected(values == 1))
        assert np.array_equal(full_voxels(other.mask), expected(values == 1_000_000))


def test_an_empty_label_volume_was_read_and_says_that_it_marks_nothing() -> None:
    found = read(nifti_bytes(affine=lps_affine(), values=np.zeros((12, 8, 6), dtype=np.uint8)))
    assert findings(found) == ()
    assert found.annotation_sets[0].read
    assert [rejection.code for rejection in found.rejections] == ["empty-label"]


def test_compression_and_byte_order_change_nothing() -> None:
    plain = nifti_bytes(affine=lps_affine(), values=label_array())
    swapped = nibabel.Nifti1Image.from_bytes(plain)
    header = swapped.header.as_byteswapped(">")
    big = io.BytesIO()
    nibabel.Nifti1Image(label_array(), swapped.affine, header).to_stream(big)
    second = bytes(nibabel.Nifti2Image(label_array(), swapped.affine).to_bytes())
    for data in (gzip.compress(plain), big.getvalue(), second):
        (finding,) = findings(read(data))
        assert finding.mask is not None
        assert np.array_equal(full_voxels(finding.mask), expected(label_array()))


def test_a_small_file_that_inflates_without_end_is_refused() -> None:
    plain = nifti_bytes(affine=lps_affine(), values=label_array())
    with pytest.raises(UnreadableFile) as refusal:
        read(gzip.compress(plain + b"\0" * (40 << 20)))
    assert refusal.value.code == "inflates-too-large"


@pytest.mark.parametrize("shape", [(2**32, 2**32, 1), (2**62, 4, 1), (2**21, 2**21, 2**22)])
def test_a_claim_that_overflows_a_machine_word_is_no_small_claim(shape: tuple[int, int, int]) -> None:
    made = nibabel.Nifti2Header()
    made.set_data_dtype(np.uint8)
    made["dim"][:4] = (3, *shape)
    made["magic"] = b"n+2\x00\r\n\x1a\n"
    with pytest.raises(UnreadableFile) as refused:
        nifti.read_nifti_array(made.binaryblock + bytes(200), CT_READ_LIMITS)
    assert refused.value.code == "pixel-claim-too-large"


@pytest.mark.parametrize("offset", [np.nan, np.inf, -np.inf])
def test_an_offset_that_is_no_number_is_refused_by_name(offset: float) -> None:
    made = nibabel.Nifti1Image.from_bytes(nifti_bytes(affine=lps_affine(), values=label_array()))
    made.header["vox_offset"] = offset
    with pytest.raises(UnreadableFile) as refused:
        nifti.read_nifti_array(made.header.binaryblock + bytes(800), CT_READ_LIMITS)
    assert refused.value.code == "bad-value"


def test_a_claim_of_voxels_is_refused_before_memory_is_taken() -> None:
    data = bytearray(nifti_bytes(affine=lps_affine(), values=label_array()))
    data[42:48] = np.array([30000, 30000, 30000], dtype="<i2").tobytes()
    with pytest.raises(UnreadableFile) as refusal:
        read(bytes(data))
    assert refusal.value.code == "pixel-claim-too-large"


@pytest.mark.parametrize("field", ["data file: /etc/passwd", "datafile: LIST", "data file: x%03d.raw 1 6 1"])
def test_a_file_that_an_nrrd_header_names_is_never_opened(field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*args: object, **kwargs: object) -> object:
        raise AssertionError("a file was opened")

    monkeypatch.setattr("builtins.open", forbidden)
    monkeypatch.setattr(Path, "open", forbidden)
    with pytest.raises(UnreadableFile) as refusal:
        read(nrrd_bytes(affine=lps_affine(), values=label_array(), more=field + "\n"), form=nrrd.FORMAT)
    assert refusal.value.code == "detached-data"


def test_a_nifti_header_without_its_voxels_is_refused_by_name() -> None:
    data = bytearray(nifti_bytes(affine=lps_affine(), values=label_array()))
    data[344:348] = b"ni1\0"
    with pytest.raises(UnreadableFile) as refusal:
        read(bytes(data))
    assert refusal.value.code == "detached-data"


@pytest.mark.parametrize("encoding", ["raw", "gzip", "bzip2", "ascii"])
def test_every_encoding_of_nrrd_gives_the_same_voxels(encoding: str) -> None:
    values = label_array()
    flat = values.tobytes(order="F")
    stored = {
        "raw": flat,
        "gzip": gzip.compress(flat),
        "bzip2": bz2.compress(flat),
        "ascii": " ".join(str(value) for value in flat).encode(),
    }[encoding]
    head = nrrd_bytes(affine=lps_affine(), values=values)[: -len(flat)].replace(b"raw", encoding.encode())
    (finding,) = findings(read(head + stored, form=nrrd.FORMAT))
    assert finding.mask is not None
    assert np.array_equal(full_voxels(finding.mask), expected(values))


def test_an_nrrd_in_ras_is_the_same_as_one_in_lps() -> None:
    ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps_affine()
    data = nrrd_bytes(affine=ras, values=label_array()).replace(b"left-posterior-superior", b"right-anterior-superior")
    (finding,) = findings(read(data, form=nrrd.FORMAT))
    assert finding.mask is not None
    assert np.array_equal(full_voxels(finding.mask), expected(label_array()))


def test_slicer_s_segments_keep_their_names_and_may_overlap_in_layers() -> None:
    layers = np.zeros((2, 12, 8, 6), dtype=np.uint8)
    layers[0, 2:9, 1:7, 2:5] = 1
    layers[1, 4:11, 3:8, 3:6] = 1
    keys = "".join(
        f"Segment{number}_Name:={name}\nSegment{number}_LabelValue:=1\nSegment{number}_Layer:={layer}\n"
        for number, (name, layer) in enumerate([("Tumor", 0), ("Left lung", 1), ("Lymph node", 1)])
    ).replace("Segment2_LabelValue:=1", "Segment2_LabelValue:=2")
    data = nrrd_bytes(affine=lps_affine(), values=layers[0], more=keys)
    head = (
        data[: -layers[0].size].replace(b"sizes: 12 8 6", b"sizes: 2 12 8 6").replace(b"dimension: 3", b"dimension: 4")
    )
    head = head.replace(b"kinds: domain", b"kinds: list domain").replace(b"directions: (", b"directions: none (")
    found = read(head + layers.tobytes(order="F"), form=nrrd.FORMAT)
    first, second = findings(found)
    assert (first.source_label, first.category) == ("Tumor", Category.NODULE_GE_3MM)
    assert (second.source_label, second.category) == ("Left lung", Category.STRUCTURE)
    for finding, layer in ((first, layers[0]), (second, layers[1])):
        assert finding.mask is not None
        assert np.array_equal(full_voxels(finding.mask), expected(layer))
    assert [rejection.code for rejection in found.rejections] == ["empty-segment"]


def test_what_simpleitk_writes_is_read_where_simpleitk_puts_it(tmp_path: Path) -> None:
    made = SimpleITK.GetImageFromArray(label_array().T)  # (slice, row, column)
    made.SetSpacing((0.5, 0.5, 1.5))
    made.SetOrigin((-4.0, -3.0, 10.0))
    for ending, form in ((".nii.gz", nifti.FORMAT), (".nrrd", nrrd.FORMAT)):
        SimpleITK.WriteImage(made, str(tmp_path / f"label{ending}"), useCompression=True)
        (finding,) = findings(read((tmp_path / f"label{ending}").read_bytes(), form=form))
        assert finding.mask is not None
        assert np.array_equal(full_voxels(finding.mask), expected(label_array()))
