"""LIDC-IDRI-0001: what its four readers drew, written out and read by others."""

from __future__ import annotations

import io

import highdicom
import numpy as np
import pytest

from imaging.masks.build import full_voxels
from imaging.readers.dataset import open_dataset
from imaging.readers.lidc import read_lidc_xml
from imaging.readers.limits import CT_READ_LIMITS
from imaging.types import AnnotationSet
from imaging.writers.contract import LabelledSeries, LossKind, Written
from imaging.writers.registry import LABEL_WRITERS
from imaging.writers.release import RELEASE_TOLERANCE, release
from tests.imaging.readers import real
from tests.imaging.writers.made import CONTEXT

pytestmark = [pytest.mark.real_data, pytest.mark.filterwarnings("ignore::UserWarning")]


def readers_sets() -> tuple[AnnotationSet, ...]:
    data = real.member("lidc-0001.zip", "annotations-lidc.xml")
    return read_lidc_xml(data, real.lidc_geometry()).annotation_sets


def written(name: str) -> Written:
    _, data = real.lidc_slices()[real.lidc_geometry().sop_instance_uids[0]]
    series = LabelledSeries(
        image=real.lidc_geometry(),
        annotation_sets=readers_sets(),
        header=open_dataset(data, CT_READ_LIMITS, with_pixels=False).dataset,
    )
    return release(
        writer=LABEL_WRITERS[name],
        labelled=series,
        context=CONTEXT,
        limits=CT_READ_LIMITS,
        tolerance=RELEASE_TOLERANCE,
    )


@pytest.mark.requirement("REQ-17")
def test_a_segmentation_written_from_the_four_readers_opens_in_highdicom_with_identical_masks():
    files = written("dicom-seg").files
    assert len(files) == 4
    uids = list(real.lidc_geometry().sop_instance_uids)
    for file, one in zip(files, readers_sets(), strict=True):
        [drawn] = [finding for finding in one.findings if finding.mask is not None]
        assert drawn.mask is not None and drawn.mask.count > 1000
        segmentation = highdicom.seg.segread(io.BytesIO(file.data))
        voxels = segmentation.get_pixels_by_source_instance(
            uids, ignore_spatial_locations=True, assert_missing_frames_are_empty=True
        )
        assert voxels.shape == (*real.lidc_geometry().grid.shape, 1)
        assert np.array_equal(voxels[..., 0].astype(bool), full_voxels(drawn.mask))


@pytest.mark.parametrize("name", LABEL_WRITERS)
def test_the_readers_labels_go_through_every_format(name: str):
    made = written(name)
    assert len({one.set_ids for one in made.files}) == 4
    everything = sum(len(one.findings) for one in readers_sets())
    kept = {finding.finding_id.split("@")[0] for one in made.files for finding in one.content}
    lost = {loss.finding_id for loss in made.losses if loss.kind is LossKind.FINDING}
    assert len(kept) + len(lost) == everything == 26
