"""Every format that labels are written in, by name."""

from __future__ import annotations

from collections.abc import Mapping

from imaging.writers import coco, datalist, luna16, nifti, segmentation, structure_set, structured_report
from imaging.writers.contract import LabelWriter

LABEL_WRITERS: Mapping[str, LabelWriter] = {
    one.name: one
    for one in (
        segmentation.WRITER,
        structured_report.WRITER,
        structure_set.WRITER,
        nifti.WRITER,
        coco.WRITER,
        luna16.WRITER,
        datalist.WRITER,
    )
}
