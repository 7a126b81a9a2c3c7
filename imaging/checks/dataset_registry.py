"""Every check over a whole dataset, in the order in which ties are reported."""

from __future__ import annotations

from imaging.checks.confident_learning import ConfidentLearning
from imaging.checks.dataset import DatasetCheck
from imaging.checks.near_duplicate import NearDuplicate
from imaging.checks.out_of_distribution import OutOfDistribution
from imaging.checks.taxonomy_drift import TaxonomyDrift

DATASET_REGISTRY: tuple[DatasetCheck, ...] = (
    NearDuplicate(),
    OutOfDistribution(),
    ConfidentLearning(),
    TaxonomyDrift(),
)
