"""What the demo did, in figures, for people and for programs."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from qaservice.analysis.models import Flag
from qaservice.labels.models import AnnotationSet, Finding, SetKind
from qaservice.projects.models import Project
from qaservice.review.models import Correction, Verdict
from qaservice.studies.models import Series, SeriesState


def figures(*, project: Project, wall_seconds: float, peak_memory_mb: int) -> dict[str, object]:
    """Return the contents of summary.json: ``series`` counts those that the geometry gate accepted."""
    readers = AnnotationSet.objects.filter(project=project, kind=SetKind.READER)
    flags = Counter(Flag.objects.filter(project=project).values_list("check_name", flat=True))
    return {
        "series": Series.objects.filter(project=project).exclude(state=SeriesState.REFUSED).count(),
        "readers": readers.values("reader_label").distinct().count(),
        "findings": Finding.objects.filter(annotation_set__in=readers).count(),
        "flags": dict(sorted(flags.items())),
        "verdicts": Verdict.objects.filter(flag__project=project).count(),
        "corrections": Correction.objects.filter(consensus__flag__project=project).count(),
        "wall_seconds": round(wall_seconds, 1),
        "peak_memory_mb": peak_memory_mb,
    }


def write(path: Path, facts: dict[str, object]) -> None:
    """Write the figures as JSON."""
    path.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
