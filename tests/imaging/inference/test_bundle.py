"""Nothing in a bundle is used before it is known to be what it should be."""

import json
import pickle
from pathlib import Path

import pytest

from imaging.errors import BundleError
from imaging.inference.backends import ready_backend
from imaging.inference.bundle import MANIFEST, METADATA, WEIGHTS, load_bundle, shipped_bundle
from imaging.lineage import lineage_of
from tests.imaging.inference.conftest import with_places, write_manifest


def test_an_untouched_bundle_loads_and_tells_its_digest(bundle_folder: Path) -> None:
    bundle = load_bundle(bundle_folder, expected_sha256=None)
    assert bundle.identity.name == "tiny"
    assert load_bundle(bundle_folder, expected_sha256=bundle.identity.bundle_sha256).identity == bundle.identity


@pytest.mark.parametrize("name", [WEIGHTS, METADATA])
def test_an_altered_file_is_refused_by_name(bundle_folder: Path, name: str) -> None:
    content = bytearray((bundle_folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (bundle_folder / name).write_bytes(bytes(content))
    with pytest.raises(BundleError) as caught:
        load_bundle(bundle_folder, expected_sha256=None)
    assert caught.value.code == "bundle-altered"
    assert caught.value.subjects == (name,)
    assert name in caught.value.message


def test_a_missing_file_is_refused_by_name(bundle_folder: Path) -> None:
    (bundle_folder / WEIGHTS).unlink()
    with pytest.raises(BundleError) as caught:
        load_bundle(bundle_folder, expected_sha256=None)
    assert (caught.value.code, caught.value.subjects) == ("bundle-incomplete", (WEIGHTS,))


def test_a_file_that_the_manifest_does_not_list_is_refused(bundle_folder: Path) -> None:
    (bundle_folder / "models" / "extra.pt").write_bytes(b"x")
    with pytest.raises(BundleError) as caught:
        load_bundle(bundle_folder, expected_sha256=None)
    assert (caught.value.code, caught.value.subjects) == ("bundle-unlisted-file", ("models/extra.pt",))


def test_a_consistent_bundle_that_is_not_the_pinned_one_is_refused(bundle_folder: Path) -> None:
    pinned = load_bundle(bundle_folder, expected_sha256=None).identity.bundle_sha256
    content = json.loads((bundle_folder / METADATA).read_text())
    content["qa_settings"]["threshold"] = 0.9
    (bundle_folder / METADATA).write_text(json.dumps(content))
    write_manifest(bundle_folder)
    with pytest.raises(BundleError) as caught:
        load_bundle(bundle_folder, expected_sha256=pinned)
    assert caught.value.code == "bundle-not-the-pinned-one"


def test_a_manifest_that_reaches_outside_the_bundle_is_refused(bundle_folder: Path) -> None:
    content = json.loads((bundle_folder / MANIFEST).read_text())
    content["files"]["../secret"] = "0" * 64
    (bundle_folder / MANIFEST).write_text(json.dumps(content))
    with pytest.raises(BundleError) as caught:
        load_bundle(bundle_folder, expected_sha256=None)
    assert (caught.value.code, caught.value.subjects) == ("bundle-unreadable", ("../secret",))


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"files": 3}'])
def test_a_manifest_that_is_none_is_refused(bundle_folder: Path, content: str) -> None:
    (bundle_folder / MANIFEST).write_text(content)
    with pytest.raises(BundleError) as caught:
        load_bundle(bundle_folder, expected_sha256=None)
    assert caught.value.code == "bundle-unreadable"


def test_a_folder_without_a_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError) as caught:
        load_bundle(tmp_path, expected_sha256=None)
    assert caught.value.code == "bundle-incomplete"


def test_metadata_without_settings_is_refused(bundle_folder: Path) -> None:
    (bundle_folder / METADATA).write_text(json.dumps({"name": "tiny", "version": "1"}))
    write_manifest(bundle_folder)
    with pytest.raises(BundleError) as caught:
        load_bundle(bundle_folder, expected_sha256=None)
    assert (caught.value.code, caught.value.subjects) == ("bundle-unreadable", (METADATA,))


class Trap:
    """What a malicious weights file would do when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path("sprung"),))  # type: ignore[return-value]  # a pickle's own shape


@pytest.mark.parametrize("choice", ["openvino-f32", "torch"])
def test_weights_that_would_run_code_are_refused_and_do_not_run(
    bundle_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, choice: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (bundle_folder / WEIGHTS).write_bytes(pickle.dumps(Trap()))
    write_manifest(bundle_folder)
    bundle = load_bundle(bundle_folder, expected_sha256=None)
    with pytest.raises(BundleError) as caught:
        ready_backend(bundle=bundle, choice=choice, threads=1)
    assert caught.value.subjects == (WEIGHTS,)
    assert not (tmp_path / "sprung").exists()


def test_the_shipped_bundle_is_whole_small_and_says_what_it_is_not_for() -> None:
    path = shipped_bundle()
    bundle = load_bundle(path, expected_sha256=json.loads((path / MANIFEST).read_text())["bundle_sha256"])
    assert len(bundle.weights) <= 10_000_000
    assert "Not for clinical use" in (path / "docs" / "README.md").read_text()
    assert (path / "LICENSE").is_file()


def test_the_shipped_bundle_was_not_trained_on_the_scan_that_it_is_tested_on() -> None:
    metadata = json.loads((shipped_bundle() / METADATA).read_text())
    lineage = metadata["lineage"]
    assert len(lineage_of(metadata).uids) == 3, "every background is named, at whatever depth"
    lidc = "1.3.6.1.4.1.14519.5.2.1.6279.6001.179049373636438705059720603192"
    assert lidc not in json.dumps(lineage)
    assert "6279.6001" not in json.dumps(lineage), "no LIDC-IDRI series at all"


def test_the_shipped_bundle_opens_as_a_monai_bundle() -> None:
    from monai.bundle import ConfigParser

    path = shipped_bundle()
    parser = ConfigParser()
    parser.read_meta(str(path / METADATA))
    parser.read_config(str(path / "configs" / "inference.json"))
    parser["bundle_root"] = str(path)
    network = parser.get_parsed_content("network_def")
    network.load_state_dict(parser.get_parsed_content("weights"))
    tile = load_bundle(path, expected_sha256=None).settings.tile
    assert parser.get_parsed_content("inferer").roi_size == [tile] * 3


def test_answers_are_the_same_for_other_documents_and_others_for_other_weights_or_settings(bundle_folder: Path) -> None:
    first = load_bundle(bundle_folder, expected_sha256=None)
    (bundle_folder / "docs").mkdir()
    (bundle_folder / "docs" / "README.md").write_text("What it is weak at.")
    content = json.loads((bundle_folder / METADATA).read_text())
    content |= {"version": "2", "changelog": {"2": "more is said"}, "judged": {"phantoms": {}}}
    (bundle_folder / METADATA).write_text(json.dumps(content))
    write_manifest(bundle_folder)
    worded = load_bundle(bundle_folder, expected_sha256=None)
    assert worded.identity.bundle_sha256 != first.identity.bundle_sha256
    assert worded.opinion_digest == first.opinion_digest
    content["qa_settings"]["threshold"] = 0.4
    (bundle_folder / METADATA).write_text(json.dumps(content))
    write_manifest(bundle_folder)
    said = load_bundle(bundle_folder, expected_sha256=None)
    assert said.identity.bundle_sha256 != first.identity.bundle_sha256
    assert said.answers_digest == first.answers_digest
    assert said.opinion_digest != first.opinion_digest
    digests = {first.answers_digest}
    for name, value in (("stride", 16), ("spacing_mm", 2.5), ("calibration", [[0.0, 0.0], [1.0, 0.9]])):
        (bundle_folder / METADATA).write_text(
            json.dumps({**content, "qa_settings": {**content["qa_settings"], name: value}})
        )
        write_manifest(bundle_folder)
        digests.add(load_bundle(bundle_folder, expected_sha256=None).answers_digest)
    digests.add(load_bundle(with_places(bundle_folder), expected_sha256=None).answers_digest)
    (bundle_folder / WEIGHTS).write_bytes(b"other")
    write_manifest(bundle_folder)
    digests.add(load_bundle(bundle_folder, expected_sha256=None).answers_digest)
    assert len(digests) == 6
