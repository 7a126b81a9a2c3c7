"""NIfTI label maps (.nii, .nii.gz): where they lie, and their voxels.

NIfTI's patient axes are RAS, DICOM's LPS: the first two rows of the affine change sign (nifti1.h, "orientation and
location in space"). Two affines may stand in one file, the quaternion's (qform) and the matrix (sform); toolkits differ
in which they believe, so where both are set and disagree the file is refused. Lengths are as ``xyzt_units`` says;
where that is not set they are millimetres, as every writer of such files means them, and the comparison with the
image's own affine to a tenth of a millimetre would not forgive another unit.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable
from typing import Any, Protocol

import nibabel
import numpy as np
from numpy.typing import NDArray

from imaging.errors import UnreadableFile
from imaging.geometry.series import PlacedSeries
from imaging.readers.formats import ImageReferences, LabelFormat, ReadContext
from imaging.readers.frame_placement import PLANE_TOLERANCE_MM
from imaging.readers.inflate import GZIP_MARK, inflate_gzip, inflated_head
from imaging.readers.label_array import LabelArray, LabelHeader
from imaging.readers.label_volumes import label_references, read_label_volume
from imaging.readers.limits import ReadLimits
from imaging.types import AnnotationImport, Rejection

SOURCE_FORMAT = "nifti"
_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_UNITS_MM = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
_HEAD_BYTES = 1024


class _RawHeader(Protocol):
    """What is used of nibabel's headers, whose methods are not typed."""

    def __getitem__(self, field: str) -> Any: ...

    def get_data_dtype(self) -> Any: ...

    def get_sform(self) -> Any: ...

    def get_qform(self) -> Any: ...


def nifti_header(data: bytes) -> LabelHeader:
    """Return where a NIfTI file's volume lies. Reads no voxels.

    Raises UnreadableFile: ``not-nifti``, ``detached-data`` (its voxels lie in another file), ``bad-value``.
    """
    return _described(_raw_header(_head_of(data)))


def read_nifti_array(data: bytes, limits: ReadLimits) -> LabelArray:
    """Return a NIfTI file's volume, its scaling applied where it has one.

    Raises UnreadableFile: those of ``nifti_header``, ``pixel-claim-too-large``, ``inflates-too-large``, ``truncated``,
    ``damaged-compression``.
    """
    raw = _raw_header(_head_of(data))
    header = _described(raw)
    # In whole numbers of any size: three lengths of a NIfTI-2 header can overflow 64 bits to a harmless product.
    count = math.prod(header.shape)
    claimed = count * header.dtype.itemsize
    if claimed > limits.pixel_bytes or count > limits.pixel_bytes:
        raise UnreadableFile(
            "pixel-claim-too-large",
            f"The label claims {claimed} bytes of voxels; at most {limits.pixel_bytes} are read.",
        )
    start = _start(raw)
    if header.refusals:
        return LabelArray(header, np.zeros((0, 0, 0, 0), dtype=header.dtype))
    # What lies before the voxels (header and extensions) counts towards the same bound.
    content = data
    if data.startswith(GZIP_MARK):
        content = inflate_gzip(data, limit_bytes=min(limits.inflated_bytes, max(start, 0) + claimed + (16 << 20)))
    if start < 0 or start + claimed > len(content):
        raise UnreadableFile(
            "truncated", f"The label claims {claimed} bytes of voxels from byte {start}, but ends before."
        )
    values: NDArray[np.generic] = np.frombuffer(content, dtype=header.dtype, count=count, offset=start)
    values = values.reshape(header.shape, order="F")
    slope, intercept = float(raw["scl_slope"]), float(raw["scl_inter"])
    if np.isfinite(slope) and np.isfinite(intercept) and slope != 0.0 and (slope, intercept) != (1.0, 0.0):
        values = (values.astype(np.float32) * np.float32(slope) + np.float32(intercept)).astype(np.float32)
    return LabelArray(header, values[None])


def _start(raw: _RawHeader) -> int:
    offset = float(raw["vox_offset"])
    if not math.isfinite(offset):
        raise UnreadableFile("bad-value", "The NIfTI header does not say where its voxels begin.")
    return int(offset)


def _head_of(data: bytes) -> bytes:
    return inflated_head(data, length=_HEAD_BYTES) if data.startswith(GZIP_MARK) else data[:_HEAD_BYTES]


def _raw_header(head: bytes) -> _RawHeader:
    if head[4:8] in (b"n+2\x00", b"ni2\x00"):
        length, magic = 540, head[4:8]
    elif head[344:348] in (b"n+1\x00", b"ni1\x00"):
        length, magic = 348, head[344:348]
    else:
        raise UnreadableFile("not-nifti", "The file has no NIfTI header.")
    if magic.startswith(b"ni"):
        raise UnreadableFile(
            "detached-data",
            "A NIfTI header whose voxels lie in another file; a file that a header names is never opened.",
        )
    if len(head) < length:
        raise UnreadableFile("truncated", "The file ends within its header.")
    kind: Callable[..., _RawHeader] = nibabel.Nifti1Header if length == 348 else nibabel.Nifti2Header
    try:
        return kind(head[:length], check=False)
    # The header class raises whatever its parts do on damaged numbers.
    except Exception as error:
        raise UnreadableFile("not-nifti", f"The NIfTI header cannot be read ({type(error).__name__}).") from error


def _described(raw: _RawHeader) -> LabelHeader:
    try:
        dtype = np.dtype(raw.get_data_dtype())
        dims = [int(size) for size in raw["dim"]]
        units = int(raw["xyzt_units"]) & 0x07
    # As above: an unknown data type, say.
    except Exception as error:
        raise UnreadableFile("bad-value", f"The NIfTI header cannot be read ({type(error).__name__}).") from error
    rank = dims[0]
    if not 1 <= rank <= 7 or any(size < 1 for size in dims[1 : rank + 1]):
        raise UnreadableFile("bad-value", "The NIfTI header does not give one to seven positive sizes.")
    sizes = dims[1 : rank + 1]
    refusals: list[Rejection] = []
    if rank < 3 or any(size != 1 for size in sizes[3:]):
        shape = " x ".join(str(size) for size in sizes)
        message = f"The volume has {shape} values: a label map has three axes, without time points or components."
        refusals.append(Rejection("not-three-dimensional", message))
    if dtype.kind not in "iufb" or dtype.names is not None:
        refusals.append(Rejection("not-a-label-map", "The voxels are colours or complex numbers, not labels."))
    if units not in _UNITS_MM:
        refusals.append(Rejection("unknown-units", f"The header's unit of length has the unknown code {units}."))
    affine, disagreement = _affine(raw, (*sizes, 1, 1, 1)[:3], _UNITS_MM.get(units, 1.0))
    if disagreement is not None:
        refusals.append(disagreement)
    first, second, third = (*sizes, 1, 1)[:3]
    return LabelHeader((first, second, third), affine, 1, dtype, refusals=tuple(refusals))


def _affine(
    raw: _RawHeader, shape: tuple[int, ...], unit_mm: float
) -> tuple[NDArray[np.float64] | None, Rejection | None]:
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            matrix = raw.get_sform() if int(raw["sform_code"]) > 0 else None
            quaternion = raw.get_qform() if int(raw["qform_code"]) > 0 else None
    # A quaternion longer than one, a singular matrix.
    except Exception as error:
        raise UnreadableFile(
            "bad-value", f"The header's orientation cannot be computed ({type(error).__name__})."
        ) from error
    found = [np.asarray(one, dtype=np.float64) for one in (matrix, quaternion) if one is not None]
    if not all(np.all(np.isfinite(one)) for one in found):
        raise UnreadableFile("bad-value", "The header's orientation is not of finite numbers.")
    scaled = []
    for one in found:
        affine = _RAS_TO_LPS @ one
        affine[:3] *= unit_mm
        scaled.append(affine)
    if not scaled:
        return None, None
    if len(scaled) == 2:
        corners = np.array(list(itertools.product(*((0.0, size - 1.0) for size in shape))))
        apart = corners @ (scaled[0] - scaled[1])[:3, :3].T + (scaled[0] - scaled[1])[:3, 3]
        worst = float(np.linalg.norm(apart, axis=1).max())
        if worst > PLANE_TOLERANCE_MM:
            message = (
                f"The file gives two places for its volume, by quaternion (qform) and by matrix (sform), up to "
                f"{worst:.1f} mm apart; programs differ in which they believe."
            )
            return scaled[0], Rejection("qform-sform-disagree", message)
    return scaled[0], None


def _references(data: bytes, context: ReadContext) -> ImageReferences:
    return label_references(nifti_header(data), context)


def read_nifti(data: bytes, image: PlacedSeries, context: ReadContext) -> AnnotationImport:
    """Return a NIfTI label map's findings on a CT series; see ``label_volumes.read_label_volume``.

    Raises UnreadableFile as ``read_nifti_array`` does.
    """
    return read_label_volume(SOURCE_FORMAT, data, read_nifti_array(data, context.limits), image, context)


FORMAT = LabelFormat(
    source_format=SOURCE_FORMAT,
    title="NIfTI label map or probability map",
    many_series=False,
    references=_references,
    read=read_nifti,
)
