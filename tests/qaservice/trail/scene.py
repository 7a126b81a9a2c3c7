"""A reviewed project with an auditor, and an outline in the reference standard that was redrawn by hand.

The grid is 20 x 64 x 64 voxels of 2.5 x 0.75 x 0.75 mm; columns run to the patient's left. The outline before fills
rows 20-23 and columns 30-33 of slices 10-12 (48 voxels); the one after columns 32-37 of the same rows of slices 10 and
11, and rows 20-25 of slice 12 (84 voxels). They share 24; slice 12 is where most voxels differ.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from compliance.recording import SYSTEM, change
from imaging.masks.build import mask_from_voxels
from imaging.types import Action, Category, Mask
from qaservice.accounts.models import User
from qaservice.labels.models import FindingRevision
from qaservice.labels.services import correct_reference
from qaservice.projects.models import Role
from qaservice.projects.services import grant
from qaservice.studies.selectors import grid_of
from tests.factories.records import Site, make_user
from tests.qaservice.reports.conftest import build

KEPT, ADDED, REMOVED = 24, 60, 24
VOXEL_MM3 = 2.5 * 0.75 * 0.75
CHANGED_MOST = 12


@dataclass(frozen=True)
class Scene:
    """``before`` and ``after`` are the revisions of the redrawn outline; flag 1 settled with a correction."""

    site: Site
    auditor: User
    before: FindingRevision
    after: FindingRevision


def make_scene() -> Scene:
    """Build it through the service's own services."""
    site = build(flags=3, kind="person").site
    auditor = make_user("auditor")
    grant(project=site.project, user=auditor, role=Role.AUDITOR, actor=SYSTEM, reason="inspects the test")
    before = _drawn(site, Action.ADD, outlines(site)[0], "drawn by hand")
    after = _drawn(site, Action.REPLACE_OUTLINE, outlines(site)[1], "drawn again by hand")
    return Scene(site=site, auditor=auditor, before=before, after=after)


def outlines(site: Site) -> tuple[Mask, Mask]:
    """Return the outlines before and after."""
    grid = grid_of(site.series)
    old, new = np.zeros(grid.shape, dtype=bool), np.zeros(grid.shape, dtype=bool)
    old[10:13, 20:24, 30:34] = True
    new[10:12, 20:24, 32:38] = True
    new[12, 20:26, 32:38] = True
    return mask_from_voxels(grid=grid, voxels=old), mask_from_voxels(grid=grid, voxels=new)


def _drawn(site: Site, action: Action, shape: Mask, origin: str) -> FindingRevision:
    x, y, z = (grid_of(site.series).matrix @ [11, 21, 32, 1])[:3]
    with change(
        "reference.corrected",
        actor=SYSTEM,
        reason=origin,
        subject=("series", str(site.series.pk)),
        project_key=site.project.key,
        payload={"action": action.value},
    ):
        _, after = correct_reference(
            series=site.series,
            action=action,
            before_finding=None,
            place_mm=(float(x), float(y), float(z)),
            shape=shape,
            category=Category.NODULE_GE_3MM.value,
            origin=origin,
        )
    assert after is not None
    return after
