"""Nodules as LUNA16's table: ``seriesuid,coordX,coordY,coordZ,diameter_mm``, world (LPS) millimetres, spheres only."""

from __future__ import annotations

from dataclasses import replace

from imaging.masks.measure import measure
from imaging.types import Finding, Sphere
from imaging.writers.carrying import carried_sets
from imaging.writers.contract import (
    Carried,
    CategoryFidelity,
    LabelledSeries,
    LabelWriter,
    Loss,
    LossKind,
    WriteContext,
    Written,
    WrittenFile,
)
from imaging.writers.identity import file_stem

HEADING = "seriesuid,coordX,coordY,coordZ,diameter_mm"

CARRIES = Carried(
    shapes=frozenset({"mask", "sphere"}),
    category=CategoryFidelity.KIND,
    tracking=False,
    names=False,
    characteristics=False,
    attributes=False,
    measurements=False,
    confidence=False,
    author=False,
    empty_sets=True,
    case_probabilities=False,
)


def write_luna16(labelled: LabelledSeries, context: WriteContext) -> Written:
    """Return one table a set. An outline becomes the ball of equal volume about its centroid, and is lost as such.

    The table is of nodules: findings of other categories are left out. A set that was read and found nothing is a
    table without rows. Numbers have six decimals, a nanometre.
    """
    series = labelled.image.series_instance_uid
    sets, losses = carried_sets(labelled.annotation_sets, CARRIES, series_instance_uid=series)
    named = list(losses)
    files = []
    for ordinal, one in enumerate(sets, start=1):
        content: list[Finding] = []
        for finding in one.findings:
            if not finding.category.is_nodule:
                message = f'The format lists nodules; a finding that is "{finding.category.value}" is left out.'
                named.append(Loss(LossKind.FINDING, message, one.source.set_id, finding.finding_id))
                continue
            if finding.mask is not None:
                message = "The outline is written as the ball of equal volume about its centroid."
                named.append(Loss(LossKind.SHAPE, message, one.source.set_id, finding.finding_id))
            content.append(replace(finding, mask=None, sphere=sphere_of(finding), tracking_uid=""))
        rows = [HEADING, *(_row(series, finding.sphere) for finding in content if finding.sphere is not None)]
        files.append(
            WrittenFile(
                name=f"{file_stem(one.source, ordinal)}.luna16.csv",
                media_type="text/csv",
                data=("\n".join(rows) + "\n").encode(),
                set_ids=(one.source.set_id,),
                read_as="luna16-csv",
                carries=CARRIES,
                content=tuple(content),
            )
        )
    return Written(tuple(files), tuple(named))


def sphere_of(finding: Finding) -> Sphere | None:
    """Return a finding's sphere, or the ball of equal volume about the centroid of its outline; None without either."""
    if finding.mask is None:
        return finding.sphere
    size = measure(finding.mask)
    return Sphere(centre_mm=size.centroid_mm, diameter_mm=size.equivalent_diameter_mm)


def _row(series_instance_uid: str, sphere: Sphere) -> str:
    return ",".join([series_instance_uid, *(f"{value:.6f}" for value in (*sphere.centre_mm, sphere.diameter_mm))])


WRITER = LabelWriter(
    name="luna16-csv",
    title="LUNA16 annotations (CSV)",
    needs_header=False,
    carries=CARRIES,
    write=write_luna16,
)
