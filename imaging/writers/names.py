"""What the formats that labels are written in are called: for whoever lists them without writing any.

The writers themselves bring libraries along that take half a second to load.
"""

from __future__ import annotations

WRITTEN_FORMATS = (
    "coco-json",
    "dicom-rtstruct",
    "dicom-seg",
    "dicom-sr",
    "luna16-csv",
    "monai-datalist",
    "nifti",
)
"""The keys of ``registry.LABEL_WRITERS``, sorted."""
