"""The shipped bundle on a real scan that it has never seen: the one nodule that all four radiologists outlined."""

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from imaging.geometry.verdict import LUNG_CT_TOLERANCES
from imaging.inference.bundle import load_bundle, shipped_bundle
from imaging.inference.predict import predict
from imaging.masks.overlap import dice
from imaging.masks.place import centre_of
from imaging.readers.lidc import read_lidc_xml
from imaging.readers.limits import CT_READ_LIMITS
from imaging.readers.series import load_volume, read_header
from imaging.types import Finding, Prediction, Volume

ROOT = Path(__file__).resolve().parents[3]
DATA = Path(os.environ.get("QASERVICE_REAL_DATA", ROOT.parent / "shared" / "data"))

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.is_dir(), reason="the folder of real scans (QASERVICE_REAL_DATA) is not there"),
]

Read = tuple[Volume, tuple[Finding, ...], Prediction]


@pytest.fixture(scope="module")
def read() -> Read:
    with zipfile.ZipFile(DATA / "lidc-0001.zip") as archive:
        names = [name for name in archive.namelist() if name.startswith("ct/") and name.endswith(".dcm")]
        files = {name: archive.read(name) for name in names}
        xml = archive.read("annotations-lidc.xml")
    headers = {name: read_header(content, CT_READ_LIMITS) for name, content in files.items()}
    by_uid = {header.sop_instance_uid: files[name] for name, header in headers.items()}
    volume = load_volume(
        slices=list(headers.values()),
        open_bytes=lambda uid: by_uid[uid],
        tolerances=LUNG_CT_TOLERANCES,
        limits=CT_READ_LIMITS,
    )
    imported = read_lidc_xml(io.BytesIO(xml).getvalue(), volume)
    outlined = tuple(
        finding for one in imported.annotation_sets for finding in one.findings if finding.mask is not None
    )
    prediction = predict(
        volume,
        load_bundle(shipped_bundle(), expected_sha256=None),
        places=[centre_of(finding) for finding in outlined],
        progress=lambda done, total: None,
        checkpoint_dir=None,
        threads=2,
    )
    return volume, outlined, prediction


def test_the_real_nodule_is_among_the_first_candidates(read: Read) -> None:
    _, outlined, prediction = read
    target = np.mean([centre_of(finding) for finding in outlined], axis=0)
    ranks = [
        rank
        for rank, candidate in enumerate(prediction.candidates, start=1)
        if np.linalg.norm(np.subtract(candidate.centre_mm, target)) <= 10.0
    ]
    assert ranks, "the nodule is no candidate at all"
    assert ranks[0] <= 3


def test_the_models_outline_agrees_with_every_reader(read: Read) -> None:
    _, outlined, prediction = read
    assert len(outlined) == 4
    for finding, opinion in zip(outlined, prediction.outlines, strict=True):
        assert opinion.mask is not None
        assert finding.mask is not None
        assert dice(finding.mask, opinion.mask) >= 0.75
        assert opinion.mean_probability > 0.5
