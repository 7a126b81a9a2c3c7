"""What is read of a bundle without running it, and what its output is taken to mean."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from imaging.errors import BundleError
from imaging.inference.foreign.capabilities import Capability
from imaging.inference.foreign.configuration import references_of
from imaging.inference.foreign.mapping import BoxMode, Frame, Task, derive_mapping, mapping_from_json
from tests.imaging.inference.foreign.layouts import (
    BOXES,
    detection_configuration,
    label_map,
    metadata,
    segmentation_configuration,
)
from tests.imaging.inference.foreign.made import bright_bundle, inspected, pinned, write_bundle


def bundle(folder: Path, content: Any = None, about: Any = None, scripts: Any = None) -> Path:
    return write_bundle(
        folder,
        content=content or segmentation_configuration(),
        about=about or metadata(task="Segmentation", outputs=label_map("background", "nodule")),
        state={"weight": __import__("torch").zeros(1)},
        scripts=scripts,
    )


def test_every_file_is_pinned_and_the_digest_is_the_house_s_own(tmp_path: Path):
    source = bright_bundle(tmp_path / "bundle")
    found = inspected(source, tmp_path / "into").inspection
    assert found.bundle_sha256 == pinned(source)
    assert {file.name for file in found.files} == {
        "LICENSE",
        "configs/inference.json",
        "configs/metadata.json",
        "docs/README.md",
        "models/model.pt",
    }
    assert found.problems == ()


def test_a_zip_of_the_folder_is_the_same_bundle(tmp_path: Path):
    source = bright_bundle(tmp_path / "bundle")
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        for file in source.rglob("*"):
            archive.write(file, f"bundle/{file.relative_to(source)}" + ("/" if file.is_dir() else ""))
        archive.writestr("__MACOSX/bundle/._x", "")
    assert inspected(tmp_path / "b.zip", tmp_path / "into").inspection.bundle_sha256 == pinned(source)


def test_yaml_says_the_same_as_json(tmp_path: Path):
    source = bright_bundle(tmp_path / "bundle")
    in_json = inspected(source, tmp_path / "one").inspection
    content = json.loads((source / "configs" / "inference.json").read_text())
    (source / "configs" / "inference.json").unlink()
    (source / "configs" / "inference.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    in_yaml = inspected(source, tmp_path / "two").inspection
    assert in_yaml.configuration == "configs/inference.yaml"
    assert [(one.place, one.text) for one in in_yaml.code] == [(one.place, one.text) for one in in_json.code]


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("inference.json", '{"a": 1, "a": 2}', "given twice"),
        ("inference.yaml", "a: 1\na: 2\n", "given twice"),
        ("inference.yaml", "a: !!python/object/apply:os.system ['id']\n", "could not determine a constructor"),
        ("inference.json", "[1, 2]", "names with values"),
        ("inference.json", "{", "Expecting"),
        ("inference.json", '{"a": ' + "[" * 5000 + "]" * 5000 + "}", "nested too deeply"),
        ("inference.yaml", "a: &a [x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\n"
         "d: &d [*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e]\n"
         "g: [*f,*f,*f,*f,*f,*f,*f,*f]\n", "too many values"),
        ("inference.yaml", "a: &a [*a]\n", "nested too deeply"),
    ],
)  # fmt: skip
def test_a_configuration_that_readers_could_take_in_two_ways_is_refused(tmp_path: Path, name: str, text: str, why: str):
    source = bright_bundle(tmp_path / "bundle")
    (source / "configs" / "inference.json").unlink()
    (source / "configs" / name).write_text(text)
    with pytest.raises(BundleError, match=why) as refused:
        inspected(source, tmp_path / "into")
    assert refused.value.code == "bundle-unreadable"


def test_code_of_every_kind_is_listed_with_its_place_wherever_it_stands(tmp_path: Path):
    content = segmentation_configuration(odd=["  $eval('1')", "%train.json::network", "@network", "plain $5"])
    source = bundle(tmp_path / "bundle", content, scripts={"__init__.py": "", "net.py": "import socket\n"})
    (source / "configs" / "train.json").write_text('{"hook": {"_target_": "subprocess.run", "args": ["id"]}}')
    (source / "models" / "model.ts").write_bytes(b"compiled")
    found = inspected(source, tmp_path / "into").inspection
    listed = {(one.file, one.place): one for one in found.code}
    assert listed["configs/inference.json", "odd::0"].kind == "expression"
    assert Capability.RUNS_TEXT in listed["configs/inference.json", "odd::0"].capabilities
    assert listed["configs/inference.json", "odd::1"].kind == "macro"
    assert listed["configs/inference.json", "odd::2"].kind == "reference"
    assert ("configs/inference.json", "odd::3") not in listed
    hook = listed["configs/train.json", "hook::_target_"]
    assert hook.kind == "target" and Capability.STARTS_PROCESSES in hook.capabilities
    files = {one.name: one for one in found.code_files}
    assert Capability.NETWORK in files["scripts/net.py"].capabilities
    assert "TorchScript" in files["models/model.ts"].kind


def test_references_are_read_with_either_separator():
    assert references_of("$@a::b + @c#0 and 'x@y'")[:2] == ("a::b", "c::0")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"version": ""}, "no 'version'"),
        ({"network_data_format": {"inputs": {}}}, "says nothing of the inputs"),
        ({"network_data_format": {"inputs": {"a": {"type": "image"}}, "outputs": {"b": {}}}}, "has no format"),
    ],
)
def test_metadata_are_held_to_monai_s_specification(tmp_path: Path, change: dict[str, Any], problem: str):
    about = {**metadata(task="Segmentation", outputs=label_map("background", "nodule")), **change}
    found = inspected(bundle(tmp_path / "bundle", about=about), tmp_path / "into").inspection
    assert problem in " / ".join(found.problems)


def test_a_bundle_for_other_images_is_told(tmp_path: Path):
    about = metadata(task="Brain tumour", outputs=label_map("background", "tumour"))
    about["network_data_format"]["inputs"]["image"] |= {"modality": "MR", "num_channels": 4}
    found = inspected(bundle(tmp_path / "bundle", about=about), tmp_path / "into").inspection
    assert "is MR, and the images here are CT" in " ".join(found.problems)
    assert "has 4 channels" in " ".join(found.problems)


def test_without_metadata_or_weights_there_is_no_bundle(tmp_path: Path):
    source = bright_bundle(tmp_path / "bundle")
    (source / "models" / "model.pt").unlink()
    assert "it holds no weights" in inspected(source, tmp_path / "one").inspection.problems
    (source / "configs" / "metadata.json").unlink()
    with pytest.raises(BundleError) as refused:
        inspected(source, tmp_path / "two")
    assert refused.value.code == "bundle-incomplete"


def test_the_official_detection_layout_says_all_that_is_needed(tmp_path: Path):
    about = metadata(task="CT lung nodule detection", outputs=BOXES)
    mapping = derive_mapping(metadata=about, configuration=detection_configuration(), given={})
    assert (mapping.task, mapping.box_mode, mapping.frame) == (Task.DETECTION, BoxMode.CENTRE_AND_EXTENTS, Frame.LPS)
    assert mapping.labels == {0: "nodule"} and mapping.threshold == 0.5
    assert mapping.said_by["frame"] == "configuration"
    assert mapping_from_json(mapping.as_json()) == mapping


def test_what_an_expression_decides_is_asked_and_not_guessed():
    content = detection_configuration()
    content["postprocessing"]["transforms"][1]["affine_lps_to_ras"] = "@whether_raw_luna16"
    content["postprocessing"]["transforms"][2]["_disabled_"] = "@whether_raw_luna16"
    content["network_def"]["num_classes"] = "$len(@classes)"
    about = metadata(task="CT lung nodule detection", outputs=BOXES)
    with pytest.raises(BundleError) as refused:
        derive_mapping(metadata=about, configuration=content, given={})
    assert refused.value.subjects == ("labels", "box_mode", "frame")
    given = {"labels": {"0": "nodule"}, "box_mode": "xyzxyz", "frame": "image", "threshold": 0.3}
    mapping = derive_mapping(metadata=about, configuration=content, given=given)
    assert (mapping.box_mode, mapping.frame, mapping.threshold) == (BoxMode.CORNERS, Frame.IMAGE, 0.3)
    assert set(mapping.said_by.values()) >= {"registration", "configuration"}


@pytest.mark.parametrize("given", [{"colour": "red"}, {"threshold": 2.0}, {"labels": {"x": "nodule"}}, {"task": "art"}])
def test_what_is_said_at_registration_is_held_to_its_form(given: dict[str, Any]):
    about = metadata(task="Segmentation", outputs=label_map("background", "nodule"))
    with pytest.raises(BundleError) as refused:
        derive_mapping(metadata=about, configuration=segmentation_configuration(), given=given)
    assert refused.value.code == "bundle-output-unknown"


def test_one_channel_is_the_thing_itself():
    about = metadata(task="Segmentation", outputs=label_map("lung nodule"))
    mapping = derive_mapping(metadata=about, configuration=segmentation_configuration(), given={})
    assert mapping.labels == {1: "nodule"}


def test_texts_are_found_under_their_usual_names(tmp_path: Path):
    source = bright_bundle(tmp_path / "bundle")
    (source / "docs" / "data_license.txt").write_text("CC BY 4.0")
    found = inspected(source, tmp_path / "into").inspection.described
    assert dict(found.licences) == {
        "LICENSE": "Apache License, Version 2.0 (test bundle)",
        "docs/data_license.txt": "CC BY 4.0",
    }
    assert found.training_data.startswith("Data source: LUNA16, in name only")
    assert "Balls in grey boxes" in found.training_data and "It is run by tests" not in found.training_data
    assert ("nibabel", "5.2.1") in [(name, wanted) for name, wanted, _here in found.packages]
