"""Every format of label files that is read here, by the kind that ``sniff`` gives a file."""

from __future__ import annotations

from collections.abc import Mapping

from imaging.readers import (
    coco,
    datalist,
    lidc,
    luna16,
    nifti,
    nrrd,
    predictions_csv,
    predictions_json,
    segmentation,
    structure_set,
    structured_report,
    voc,
)
from imaging.readers.formats import LabelFormat
from imaging.readers.sniff import Kind

LABEL_FORMATS: Mapping[Kind, LabelFormat] = {
    "dicom-seg": segmentation.FORMAT,
    "dicom-rtstruct": structure_set.FORMAT,
    "dicom-sr": structured_report.FORMAT,
    "voc-xml": voc.FORMAT,
    "coco-json": coco.FORMAT,
    "nifti": nifti.FORMAT,
    "nrrd": nrrd.FORMAT,
    "luna16-csv": luna16.FORMAT,
    "monai-datalist": datalist.FORMAT,
    "lidc-xml": lidc.FORMAT,
    "predictions-csv": predictions_csv.FORMAT,
    "predictions-json": predictions_json.FORMAT,
}
