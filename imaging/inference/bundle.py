"""A MONAI bundle on disk: checked file by file against its manifest before anything in it is used."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from imaging.errors import BundleError
from imaging.inference.applicability import Applicability, read_applicability
from imaging.inference.detectability import Detectability, read_detectability
from imaging.inference.network import NetworkShape
from imaging.inference.place_settings import PLACE_SIZE, PlaceSettings, PlaceShape, read_place_settings
from imaging.types import ModelIdentity

MANIFEST = "manifest.json"
METADATA = "configs/metadata.json"
WEIGHTS = "models/model.pt"
GRAPH = ("models/model.xml", "models/model.bin")
REFERENCE = "models/reference.npz"
PLACE_WEIGHTS = "models/places.pt"
PLACE_GRAPH = ("models/places.xml", "models/places.bin")
PLACE_REFERENCE = "models/places_reference.npz"

ANSWERS = 3
"""Raised when the program itself comes to answer otherwise from the same bundle: other tiles, peaks or outlines."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How the bundle's network is to be run and what its outputs mean.

    ``spacing_mm``: of the isotropic grid it was trained on. ``tile``, ``stride``: voxels. ``calibration``: rising
    (raw score, probability) pairs, read with straight lines between them. ``threshold``: the probability from which a
    candidate counts at the operating point. ``applicability``: the scans it was validated for, ``detectability``: what
    it found of what was there; None where the bundle does not say. ``places``: how its second network is to be run,
    None where it has but one.
    """

    network: NetworkShape
    spacing_mm: float
    tile: int
    stride: int
    calibration: tuple[tuple[float, float], ...]
    threshold: float
    validated_diameters_mm: tuple[float, float]
    sensitivity_by_diameter: tuple[tuple[float, float], ...]
    applicability: Applicability | None = None
    detectability: Detectability | None = None
    places: PlaceSettings | None = None


@dataclass(frozen=True, slots=True)
class Graph:
    """The network as OpenVINO keeps it: ``topology`` is the XML, ``weights`` the .bin beside it."""

    topology: bytes
    weights: bytes


@dataclass(frozen=True, slots=True)
class Model:
    """One network of a bundle, with all that it takes to run it and to hold what runs it against torch.

    It takes ``size`` voxels a side, scaled HU, and gives two probabilities for each. ``names``: of its files of weights
    and reference, for messages. ``graph`` and ``reference`` as in ``Bundle``.
    """

    shape: NetworkShape | PlaceShape
    size: int
    weights: bytes
    names: tuple[str, str]
    graph: Graph | None
    reference: bytes | None


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle. All bytes are those that were verified, so that no later change of a file matters.

    ``graph``: the network for OpenVINO, None where the bundle carries none and it is converted when needed.
    ``reference``: torch's stored answer to the probe (``imaging.inference.probe``), None where there is none.
    ``places``: the second network, None where the bundle has but one.
    """

    path: Path
    identity: ModelIdentity
    settings: Settings
    weights: bytes
    weights_sha256: str
    graph: Graph | None = None
    reference: bytes | None = None
    places: Model | None = None

    @property
    def model(self) -> Model:
        """The first network, the one that looks at the whole scan."""
        names = (WEIGHTS, REFERENCE)
        return Model(self.settings.network, self.settings.tile, self.weights, names, self.graph, self.reference)

    @property
    def answers_digest(self) -> str:
        """SHA-256 (hex) over all that decides which candidates are found and how probable they are held.

        Two bundles that differ only in what they say of themselves (documents, changelog, figures, validated scans,
        operating point) have the same, so what was learnt of the one holds for the other.
        """
        settings = self.settings
        places = None if settings.places is None else asdict(settings.places)
        content = {
            "program": ANSWERS,
            "weights": self.weights_sha256,
            "places": None if self.places is None else hashlib.sha256(self.places.weights).hexdigest(),
            "network": asdict(settings.network),
            "sampling": [settings.spacing_mm, settings.tile, settings.stride],
            "calibration": settings.calibration,
            "place_settings": places,
        }
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def opinion_digest(self) -> str:
        """SHA-256 (hex) over all of a bundle that the checks of labels can see: its answers and what qualifies them.

        Probabilities fitted to the checks hold for another bundle if and only if it has the same.
        """
        settings = self.settings
        content = {
            "answers": self.answers_digest,
            "threshold": settings.threshold,
            "diameters": settings.validated_diameters_mm,
            "sensitivity": settings.sensitivity_by_diameter,
        }
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def shipped_bundle() -> Path:
    """Return the folder of the bundle that ships with this package."""
    return Path(__file__).resolve().parent.parent / "bundles" / "lung_nodule_qa"


def bundle_digest(files: Mapping[str, str]) -> str:
    """Return the digest that pins a bundle: SHA-256 (hex) over its sorted list of (path, SHA-256) as compact JSON."""
    text = json.dumps(dict(sorted(files.items())), separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def file_digests(path: Path) -> dict[str, str]:
    """Return the SHA-256 (hex) of every file in a bundle but the manifest, by path within the bundle."""
    files = sorted(file for file in path.rglob("*") if file.is_file() and file.relative_to(path).as_posix() != MANIFEST)
    return {file.relative_to(path).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def load_bundle(path: Path, *, expected_sha256: str | None) -> Bundle:
    """Return the bundle in folder ``path`` after checking every file against the manifest.

    ``expected_sha256``: the digest that the caller has on record (``Bundle.identity.bundle_sha256``); None only where
    there is none yet, as when a bundle is registered. Raises BundleError ``bundle-incomplete``, ``bundle-altered``,
    ``bundle-unlisted-file``, ``bundle-not-the-pinned-one`` or ``bundle-unreadable``; its subjects name the files.
    """
    listed = _manifest(path)
    missing = tuple(name for name in sorted(listed) if not (path / name).is_file())
    if missing:
        raise BundleError("bundle-incomplete", f"The bundle lacks {', '.join(missing)}.", subjects=missing)
    found = file_digests(path)
    altered = tuple(name for name in sorted(listed) if found[name] != listed[name])
    if altered:
        message = f"Files of the bundle are not what its manifest says: {', '.join(altered)}."
        raise BundleError("bundle-altered", message, subjects=altered)
    unlisted = tuple(name for name in sorted(found) if name not in listed)
    if unlisted:
        message = f"The bundle holds files that its manifest does not list: {', '.join(unlisted)}."
        raise BundleError("bundle-unlisted-file", message, subjects=unlisted)
    digest = bundle_digest(listed)
    if expected_sha256 is not None and digest != expected_sha256:
        message = f"The bundle's digest is {digest}, but {expected_sha256} is on record."
        raise BundleError("bundle-not-the-pinned-one", message, subjects=(MANIFEST,))
    name, version, settings = _metadata(path)
    return Bundle(
        path=path,
        identity=ModelIdentity(name, version, digest),
        settings=settings,
        weights=_checked(path, listed, WEIGHTS),
        weights_sha256=listed[WEIGHTS],
        graph=Graph(*(_checked(path, listed, name) for name in GRAPH)) if listed.keys() >= set(GRAPH) else None,
        reference=_checked(path, listed, REFERENCE) if REFERENCE in listed else None,
        places=None if settings.places is None else _places(path, listed, settings.places),
    )


def _places(path: Path, listed: Mapping[str, str], settings: PlaceSettings) -> Model:
    if PLACE_WEIGHTS not in listed:
        message = f"{METADATA} describes a place network, but the manifest does not list {PLACE_WEIGHTS}."
        raise BundleError("bundle-incomplete", message, subjects=(PLACE_WEIGHTS,))
    has_graph = listed.keys() >= set(PLACE_GRAPH)
    return Model(
        shape=settings.network,
        size=PLACE_SIZE,
        weights=_checked(path, listed, PLACE_WEIGHTS),
        names=(PLACE_WEIGHTS, PLACE_REFERENCE),
        graph=Graph(*(_checked(path, listed, name) for name in PLACE_GRAPH)) if has_graph else None,
        reference=_checked(path, listed, PLACE_REFERENCE) if PLACE_REFERENCE in listed else None,
    )


def _checked(path: Path, listed: Mapping[str, str], name: str) -> bytes:
    content = (path / name).read_bytes()
    # Between the check of the whole and this read the file may have changed; only checked bytes go on.
    if hashlib.sha256(content).hexdigest() != listed[name]:
        raise BundleError("bundle-altered", f"{name} changed while it was read.", subjects=(name,))
    return content


def _manifest(path: Path) -> dict[str, str]:
    try:
        content = json.loads((path / MANIFEST).read_text())
        listed = {str(name): str(digest) for name, digest in content["files"].items()}
    except FileNotFoundError as error:
        raise BundleError("bundle-incomplete", f"The bundle has no {MANIFEST}.", subjects=(MANIFEST,)) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError("bundle-unreadable", f"{MANIFEST} is not a manifest.", subjects=(MANIFEST,)) from error
    unsafe = tuple(name for name in listed if name.startswith("/") or ".." in Path(name).parts)
    if unsafe:
        raise BundleError("bundle-unreadable", "The manifest names files outside the bundle.", subjects=unsafe)
    lacking = tuple(name for name in (METADATA, WEIGHTS) if name not in listed)
    if lacking:
        raise BundleError("bundle-incomplete", f"The manifest does not list {', '.join(lacking)}.", subjects=lacking)
    return listed


def _metadata(path: Path) -> tuple[str, str, Settings]:
    try:
        content = json.loads((path / METADATA).read_text())
        given = content["qa_settings"]
        network = given["network"]
        low, high = (float(value) for value in given["validated_diameters_mm"])
        settings = Settings(
            network=NetworkShape(tuple(network["channels"]), tuple(network["strides"]), int(network["features"])),
            spacing_mm=float(given["spacing_mm"]),
            tile=int(given["tile"]),
            stride=int(given["stride"]),
            calibration=tuple((float(raw), float(probability)) for raw, probability in given["calibration"]),
            threshold=float(given["threshold"]),
            validated_diameters_mm=(low, high),
            sensitivity_by_diameter=tuple(
                (float(lower), float(share)) for lower, share in given["sensitivity_by_diameter"]
            ),
            applicability=read_applicability(content.get("applicability")),
            detectability=read_detectability(content.get("detectability")),
            places=read_place_settings(given.get("places")),
        )
        return str(content["name"]), str(content["version"]), settings
    except (OSError, ValueError, KeyError, TypeError) as error:
        message = f"{METADATA} does not say how to run the bundle ({type(error).__name__}: {error})."
        raise BundleError("bundle-unreadable", message, subjects=(METADATA,)) from error
