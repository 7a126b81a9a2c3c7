"""People, labels and flags on the known scans, written through the service's own services, in a process of its own.

``python -m tests.browser.seeding`` with the service's environment prints everybody's token as JSON.
"""

from __future__ import annotations

import json
import os
import sys

import django
import numpy as np

PROJECT = "browser"
LEAD = "lea"
# Three who read; the last of them is a machine.
READERS = ("ada", "ben", "cleo")
PROPOSAL = "the outline of the other annotator"
REASON = "The other annotator's outline is twice as high as this one; the label may leave out half of the lesion."
MISSING_REASON = "The model gives 91 % for an 8 mm nodule at this place; this annotator marked nothing."


def main() -> int:
    django.setup()
    from qaservice.projects.models import Project

    project = Project.objects.get(key=PROJECT)
    for place, scan in enumerate(_scans()):
        first, second = _labels(project, scan)
        _flags(project, first, second, number=2 * place + 1)
    _dataset(project)
    print(json.dumps(_people(project)))
    return 0


def _people(project):  # type: ignore[no-untyped-def]  # models can be imported only after setup
    from compliance.recording import SYSTEM
    from qaservice.accounts.services import create_user, issue_token
    from qaservice.projects.services import grant
    from qaservice.review.services import assign_open_flags
    from tests.acceptance.service import PASSWORD

    why = {"actor": SYSTEM, "reason": "needed by a test"}
    users = {}
    for name in (LEAD, *READERS):
        kind = "simulated" if name == READERS[-1] else "person"
        users[name] = create_user(username=name, display_name=name.title(), password=PASSWORD, kind=kind, **why)
        grant(project=project, user=users[name], role="qa_lead" if name == LEAD else "reader", **why)
    assign_open_flags(project=project, actor=users[LEAD].as_actor(role="qa_lead"), reason="first reads")
    return {name: issue_token(user=user, label="test", **why) for name, user in users.items()}


def _scans() -> list[object]:
    from tests.browser.scans import SCANS

    return list(SCANS)


def _labels(project, scan):  # type: ignore[no-untyped-def]  # models can be imported only after setup
    from compliance.recording import SYSTEM
    from imaging.types import AnnotationImport, AnnotationSet, Category, Finding, Mask, SetKind
    from qaservice.labels.services import import_annotations
    from qaservice.storage.services import write_bytes
    from qaservice.studies.models import Series
    from qaservice.studies.selectors import grid_of

    series = Series.objects.get(project=project, series_instance_uid=scan.uid)
    grid = grid_of(series)
    # The grid's slices may run either way: the block is found by place, not by index.
    z_first = grid.matrix @ np.array([0, 0, 0, 1.0])
    block = scan.block() if z_first[2] < 1.0 else scan.block()[::-1]
    where = np.argwhere(block)
    low, high = where.min(axis=0), where.max(axis=0) + 1
    half = np.zeros_like(block)
    middle = (low[1] + high[1]) // 2
    half[low[0] : high[0], low[1] : middle, low[2] : high[2]] = True

    def finding(name: str, voxels: np.ndarray) -> Finding:
        at = np.argwhere(voxels)
        first, last = at.min(axis=0), at.max(axis=0) + 1
        box = voxels[first[0] : last[0], first[1] : last[1], first[2] : last[2]]
        mask = Mask(grid=grid, origin=tuple(int(part) for part in first), voxels=box)
        return Finding(finding_id=name, category=Category.NODULE_GE_3MM, mask=mask, source_label=name)

    sets = tuple(
        AnnotationSet(set_id=name, reader_label=name, kind=SetKind.READER, read=True, findings=(finding(name, voxels),))
        for name, voxels in (("annotator 1", block), ("annotator 2", half))
    )
    rows = import_annotations(
        series=series,
        annotation_import=AnnotationImport("made", scan.uid, sets),
        source=write_bytes(data=scan.name.encode(), media_type="text/plain"),
        simulated=False,
        actor=SYSTEM,
        reason="needed by a test",
    )
    return sorted(rows, key=lambda row: row.reader_label)


def _flags(project, first, second, number):  # type: ignore[no-untyped-def]  # models can be imported only after setup
    from compliance.recording import SYSTEM
    from qaservice.labels.services import fix_dataset_version
    from tests.browser.scans import BLOCK_CENTRE_MM
    from tests.factories.records import make_run

    version = fix_dataset_version(project=project, note="for a test", actor=SYSTEM, reason="needed by a test")
    run = make_run(project=project, version=version, number=number, sha256=f"{number:064d}")
    finding = first.findings.get()
    other = second.findings.get().revisions.get()
    outline = {
        "id": "p1",
        "action": "replace-outline",
        "origin": PROPOSAL,
        "category": None,
        "mask": other.mask_id,
        "centre_mm": None,
        "diameter_mm": None,
    }
    ball = {
        "id": "p1",
        "action": "add",
        "origin": "the model",
        "category": "nodule >= 3 mm",
        "mask": None,
        "centre_mm": [-40.0, 0.0, 22.5],
        "diameter_mm": 8.0,
    }
    _flag(run, first, finding, BLOCK_CENTRE_MM, number, REASON, outline)
    _flag(run, second, None, (-40.0, 0.0, 22.5), number + 1, MISSING_REASON, ball)


def _dataset(project):  # type: ignore[no-untyped-def]  # models can be imported only after setup
    from dataclasses import replace

    from compliance.recording import SYSTEM
    from qaservice.analysis.models import AnalysisRun
    from qaservice.projects.label_rules import set_rules
    from tests.qaservice.portal.dataset_site import RULES, keep_cohort, look_at_dataset, troubled_cohort

    set_rules(project=project, text=RULES, actor=SYSTEM, reason="needed by a test")
    made = troubled_cohort(series=3)
    # The two scans in the place of two made-up ones, of which the second was read by one reader alone.
    kept = [replace(one, series_instance_uid=scan.uid) for one, scan in zip(made.series[1:], _scans(), strict=True)]
    facts = type(made)(tuple(kept))
    run = AnalysisRun.objects.filter(project=project).latest("number")
    keep_cohort(project=project, run=run, facts=facts)
    look_at_dataset(run=run, facts=facts)


def _flag(run, row, finding, place, number, reason, proposal):  # type: ignore[no-untyped-def]  # see above
    from compliance.recording import SYSTEM, change
    from qaservice.analysis.models import Flag, FlagObservation

    flag = Flag(
        project=run.project,
        number=number,
        series=row.series,
        check_name="boundary" if finding else "missing_nodule",
        annotation_set=row,
        finding=finding,
        x_mm=place[0],
        y_mm=place[1],
        z_mm=place[2],
        radius_mm=8.0,
        score=0.87,
    )
    with change(
        "flag.raised",
        actor=SYSTEM,
        reason="for a test",
        subject=("flag", str(flag.pk)),
        project_key=run.project.key,
    ):
        flag.save()
        FlagObservation(
            flag=flag,
            run=run,
            check_version="1",
            score=0.87,
            blind_reason="Please look at this place.",
            reason=reason,
            evidence={"dice": 0.66},
            implicated_sets=[str(row.pk)],
            proposals=[proposal],
            model_sha256=run.model.bundle_sha256,
            input_sha256="cd" * 32,
            threshold=0.5,
        ).save()


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "qaservice.settings")
    sys.exit(main())
