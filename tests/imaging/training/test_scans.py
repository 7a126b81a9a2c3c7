"""Real backgrounds are read through the geometry gate, and their own lesions are kept out of the loss."""

import os
from pathlib import Path

import numpy as np
import pytest

from imaging.geometry.regions import lung_region
from imaging.training.backgrounds import SOURCES
from imaging.training.scans import read_scan

ROOT = Path(__file__).resolve().parents[3]
DATA = Path(os.environ.get("QASERVICE_REAL_DATA", ROOT.parent / "shared" / "data"))


def test_a_scan_that_is_not_there_is_none(tmp_path: Path) -> None:
    assert read_scan(folder=tmp_path, name="nothing", usable_mm=100.0) is None


def test_the_test_scan_is_no_background() -> None:
    assert "lidc-0001" not in {source.name for source in SOURCES}


@pytest.mark.real_data
@pytest.mark.skipif(not DATA.is_dir(), reason="the folder of real scans (QASERVICE_REAL_DATA) is not there")
def test_the_outlined_tumour_of_a_background_is_boxed_and_its_lungs_are_found() -> None:
    scan = read_scan(folder=DATA, name="4dlung", usable_mm=1000.0)
    assert scan is not None
    sizes = [np.subtract(high, low) for low, high in scan.lesion_boxes]
    assert len(sizes) == 2, "a tumour and a lymph node"
    # 67 ml are at least a 50 mm ball; the box is 8 mm wider on each side.
    assert max(float(np.prod(size)) for size in sizes) > 66.0**3
    spacing = scan.volume.grid.spacing_mm
    lungs = lung_region(hounsfield=scan.volume.hounsfield, spacing_mm=spacing, closing_mm=8.0)
    litres = np.count_nonzero(lungs) * float(np.prod(spacing)) / 1e6
    assert 1.5 < litres < 7.0


@pytest.mark.real_data
@pytest.mark.skipif(not DATA.is_dir(), reason="the folder of real scans (QASERVICE_REAL_DATA) is not there")
def test_the_part_of_a_background_with_unannotated_lesions_is_left_out() -> None:
    source = next(source for source in SOURCES if source.name == "lungfcp")
    scan = read_scan(folder=DATA, name="lungfcp", usable_mm=source.usable_mm)
    assert scan is not None
    assert scan.volume.grid.shape[0] == 50
    assert len(scan.volume.sop_instance_uids) == 50
