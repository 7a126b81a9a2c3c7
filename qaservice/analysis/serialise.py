"""The core's predictions and proposals as JSON, with masks set aside as bytes under their digest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from imaging.masks.canonical import mask_bytes
from imaging.types import Mask, Prediction, Proposal

MASK_MEDIA_TYPE = "application/x-packed-mask"


@dataclass
class MaskShelf:
    """Masks met while serialising, by the SHA-256 of their canonical bytes; stored as blobs by the caller."""

    contents: dict[str, bytes] = field(default_factory=dict)

    def put(self, mask: Mask | None) -> str | None:
        """Keep ``mask`` and return its digest, or None where there is none."""
        if mask is None:
            return None
        data = mask_bytes(mask)
        digest = hashlib.sha256(data).hexdigest()
        self.contents[digest] = data
        return digest


def proposals_as_json(proposals: Iterable[Proposal], *, shelf: MaskShelf) -> list[dict[str, object]]:
    """Return proposals with ids p1, p2 ... in their order; masks by digest, spheres in LPS millimetres."""
    rows: list[dict[str, object]] = []
    for number, proposal in enumerate(proposals, start=1):
        sphere = proposal.sphere
        rows.append(
            {
                "id": f"p{number}",
                "action": proposal.action.value,
                "origin": proposal.origin,
                "category": proposal.category.value if proposal.category else None,
                "mask": shelf.put(proposal.mask),
                "centre_mm": list(sphere.centre_mm) if sphere else None,
                "diameter_mm": sphere.diameter_mm if sphere else None,
            }
        )
    return rows


def prediction_as_json(prediction: Prediction, *, shelf: MaskShelf) -> dict[str, object]:
    """Return a prediction so that it can be read back and compared: identity, input, every candidate and outline."""
    validated = prediction.validated_diameters_mm
    return {
        "model": {
            "name": prediction.model.name,
            "version": prediction.model.version,
            "bundle_sha256": prediction.model.bundle_sha256,
        },
        "input_sha256": prediction.input_sha256,
        "weights_sha256": prediction.weights_sha256,
        "backend": prediction.backend,
        "backend_refusals": list(prediction.backend_refusals),
        "threshold": prediction.threshold,
        # None where nobody states what an imported algorithm was validated for.
        "validated_diameters_mm": validated and list(validated),
        "seconds": round(prediction.seconds, 2),
        "candidates": [
            {
                "centre_mm": list(candidate.centre_mm),
                "diameter_mm": candidate.diameter_mm,
                "probability": candidate.probability,
                "mask": shelf.put(candidate.mask),
            }
            for candidate in prediction.candidates
        ],
        "outlines": [
            {
                "place_mm": list(outline.place_mm),
                "mean_probability": outline.mean_probability,
                "mask": shelf.put(outline.mask),
            }
            for outline in prediction.outlines
        ],
    }
