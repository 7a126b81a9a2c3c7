"""The typed vocabulary of the core: what readers return, checks take and the pipeline passes on.

Index order is (slice, row, column), 0-based, at voxel centres; patient space is DICOM LPS, millimetres. All classes are
frozen; arrays in them are set read-only by whoever builds them.
"""

from __future__ import annotations

from imaging.types.issues import Action, AnalysisOutcome, Case, CheckOutcome, LabelIssue, Lesion, Proposal
from imaging.types.labels import (
    LIDC_SCALES,
    Algorithm,
    AnnotationImport,
    AnnotationSet,
    Category,
    Finding,
    Rejection,
    ReportedMeasurement,
    RoundTrip,
    SetKind,
)
from imaging.types.predictions import Candidate, ModelIdentity, OutlineOpinion, Prediction, ProbabilityMap
from imaging.types.space import Affine, Box, Grid, Index, Mask, PointMm, Sphere, Volume

__all__ = [
    "LIDC_SCALES",
    "Action",
    "Affine",
    "Algorithm",
    "AnalysisOutcome",
    "AnnotationImport",
    "AnnotationSet",
    "Box",
    "Candidate",
    "Case",
    "Category",
    "CheckOutcome",
    "Finding",
    "Grid",
    "Index",
    "LabelIssue",
    "Lesion",
    "Mask",
    "ModelIdentity",
    "OutlineOpinion",
    "PointMm",
    "Prediction",
    "ProbabilityMap",
    "Proposal",
    "Rejection",
    "ReportedMeasurement",
    "RoundTrip",
    "SetKind",
    "Sphere",
    "Volume",
]
