"""Bundles that mean harm: what they try, and what stops them."""

import os
import pickle
import time
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from imaging.errors import BundleError
from imaging.inference.foreign.archive import ORDINARY, ArchiveLimits, take_bundle
from imaging.inference.foreign.capabilities import Capability
from imaging.inference.foreign.running import check_weights, run_foreign
from imaging.types import Volume
from tests.imaging.inference.foreign.layouts import BRIGHT, label_map, metadata, segmentation_configuration
from tests.imaging.inference.foreign.made import (
    LIMITS,
    bright_bundle,
    bright_state,
    inspected,
    nobody,
    runnable,
    scan_with_balls,
    write_bundle,
)


@pytest.fixture(scope="module")
def scan() -> Volume:
    return scan_with_balls(((-10.0, 5.0, -660.0), 12.0))


def hostile(folder: Path, expression: str) -> Path:
    """A bundle that works, but for one expression that is evaluated before its network runs."""
    return bright_bundle(folder, initialize=[f"${expression}"])


def run(source: Path, scan: Volume, tmp_path: Path, **limits: Any) -> Any:
    return run_foreign(
        scan,
        runnable(source, tmp_path / "inspected"),
        places=[],
        progress=nobody,
        limits=replace(LIMITS, **limits),
        archive_limits=ORDINARY,
        scratch=tmp_path / "scratch",
    )


def test_an_expression_cannot_open_a_socket(scan: Volume, tmp_path: Path):
    source = hostile(tmp_path / "bundle", "__import__('socket').create_connection(('127.0.0.1', 9))")
    with pytest.raises(BundleError, match=r"PermissionError.*Operation not permitted"):
        run(source, scan, tmp_path)


def test_an_expression_cannot_read_a_file_outside(scan: Volume, tmp_path: Path):
    with pytest.raises(BundleError, match="Permission denied"):
        run(hostile(tmp_path / "bundle", "open('/etc/passwd').read()"), scan, tmp_path)


def test_the_walls_hold_each_way_out_that_one_run_can_try(scan: Volume, tmp_path: Path):
    """One bundle tries many things; each has to fail, or its own assertion ends the run."""
    victim = tmp_path / "victim"
    victim.write_text("kept")
    attempts = [
        "__import__('os').fork()",
        "__import__('os').posix_spawn('/bin/true', ['true'], {})",
        "__import__('subprocess').run(['/bin/true'])",
        "__import__('multiprocessing').get_context('fork').Process(target=print).start()",
        f"__import__('os').kill({os.getpid()}, 0)",
        "__import__('os').listdir('/')",
        f"open({str(victim)!r}).read()",
        "open('/proc/1/environ').read()",
        f"open('/proc/{os.getpid()}/environ').read()",
        f"open('/proc/{os.getpid()}/mem', 'rb').read(1)",
        f"__import__('os').remove({str(victim)!r})",
        f"__import__('os').chmod({str(victim)!r}, 0)",
        f"open({str(victim)!r}, 'w')",
        "__import__('os').symlink('/etc/passwd', __import__('os').environ['HOME'] + '/link')",
        "open(__import__('os').getcwd() + '/configs/inference.json', 'w')",
        "__import__('socket').socket(__import__('socket').AF_UNIX)",
        "__import__('pickle').loads(b'cposix\\nsystem\\n.')",
        "__import__('resource').setrlimit(__import__('resource').RLIMIT_AS, (-1, -1))",
        "torch.load(__file__ if False else 'models/pickled.pt', weights_only=False)",
    ]
    scripts = {
        "__init__.py": "",
        "tries.py": "def refused(attempt):\n"
        "    try:\n"
        "        attempt()\n"
        "    except Exception:\n"
        "        return True\n"
        "    raise AssertionError('nothing stopped ' + attempt.__name__)\n",
    }
    steps = [f"$__import__('scripts.tries').tries.refused(lambda: {one})" for one in attempts]
    source = write_bundle(
        tmp_path / "bundle",
        content=segmentation_configuration(network_def=BRIGHT, initialize=steps),
        about=metadata(task="Segmentation", outputs=label_map("background", "nodule")),
        state=bright_state(),
        scripts=scripts,
    )
    (source / "models" / "pickled.pt").write_bytes(pickle.dumps(_Payload("true")))
    assert len(run(source, scan, tmp_path).prediction.candidates) == 1
    assert victim.read_text() == "kept"


def test_an_expression_sees_nothing_of_the_environment(scan: Volume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("QASERVICE_DATABASE_URL", "postgres://site:password@db/qa")
    source = hostile(tmp_path / "bundle", "(_ for _ in ()).throw(KeyError(sorted(__import__('os').environ)))")
    with pytest.raises(BundleError) as refused:
        run(source, scan, tmp_path)
    assert "QASERVICE" not in refused.value.message and "'PATH'" not in refused.value.message


def test_a_bundle_that_eats_memory_is_stopped_at_its_bound(scan: Volume, tmp_path: Path):
    source = hostile(tmp_path / "bundle", "[bytearray(1 << 28) for _ in range(64)]")
    with pytest.raises(BundleError) as refused:
        run(source, scan, tmp_path, memory_bytes=1 << 30)
    assert refused.value.code == "bundle-out-of-memory"


def test_a_bundle_that_never_ends_is_ended(scan: Volume, tmp_path: Path):
    source = hostile(tmp_path / "bundle", "all(one == 0 for one in iter(int, 1))")
    began = time.monotonic()
    with pytest.raises(BundleError) as refused:
        run(source, scan, tmp_path, seconds=12.0, memory_bytes=1 << 30)
    assert refused.value.code == "bundle-took-too-long"
    # Well below the hour that a bundle gets where nothing else is said, on a busy machine too.
    assert time.monotonic() - began < 300.0


def test_a_bundle_that_fills_the_disk_is_stopped(scan: Volume, tmp_path: Path):
    many = "[open(__import__('os').environ['HOME'] + f'/{n}', 'wb').write(bytes(1 << 20)) for n in range(4096)]"
    with pytest.raises(BundleError) as refused:
        run(hostile(tmp_path / "bundle", many), scan, tmp_path, work_bytes=64 << 20)
    assert refused.value.code == "bundle-wrote-too-much"


def test_a_bundle_that_ends_its_process_gives_no_result(scan: Volume, tmp_path: Path):
    with pytest.raises(BundleError) as refused:
        run(hostile(tmp_path / "bundle", "__import__('os')._exit(0)"), scan, tmp_path)
    assert refused.value.code == "bundle-answer-refused"


def test_a_forged_answer_is_held_to_its_form(scan: Volume, tmp_path: Path):
    forged = (
        "(open(__import__('os').environ['HOME'] + '/answer.json', 'w').write("
        '\'{"output": {"shape": [1, 1, "x"], "affine": []}}\'), __import__(\'os\')._exit(0))'
    )
    with pytest.raises(BundleError) as refused:
        run(hostile(tmp_path / "bundle", forged), scan, tmp_path)
    assert refused.value.code == "bundle-answer-refused"


class _Payload:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (self.command,)


def test_a_payload_in_the_weights_is_found_and_never_runs(scan: Volume, tmp_path: Path):
    import torch

    source = bright_bundle(tmp_path / "bundle")
    mark = tmp_path / "ran"
    torch.save({"weight": _Payload(f"touch {mark}")}, source / "models" / "model.pt")
    found = check_weights(
        source=source,
        names=["models/model.pt"],
        limits=LIMITS,
        archive_limits=ORDINARY,
        scratch=tmp_path / "scratch",
    )
    assert "does not load as tensors alone" in found["models/model.pt"]
    with pytest.raises(BundleError, match="Unpickling"):
        run(source, scan, tmp_path)
    assert not mark.exists()


def test_files_that_are_not_what_was_approved_do_not_run(scan: Volume, tmp_path: Path):
    source = bright_bundle(tmp_path / "bundle")
    approved = runnable(source, tmp_path / "inspected")
    (source / "configs" / "inference.json").write_text(
        (source / "configs" / "inference.json").read_text().replace("seed=123", "seed=124")
    )
    with pytest.raises(BundleError) as refused:
        run_foreign(
            scan,
            approved,
            places=[],
            progress=nobody,
            limits=LIMITS,
            archive_limits=ORDINARY,
            scratch=tmp_path / "scratch",
        )
    assert refused.value.code == "bundle-altered"


@pytest.mark.parametrize(
    "name", ["../outside.json", "/etc/outside.json", "configs/../../outside.json", "a\\..\\b", "C:/x", "./configs/x"]
)
def test_a_zip_cannot_lead_out_of_its_folder(tmp_path: Path, name: str):
    path = tmp_path / "bundle.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, "{}")
    into = tmp_path / "into"
    into.mkdir()
    with pytest.raises(BundleError) as refused:
        take_bundle(source=path, into=into, limits=ORDINARY)
    assert refused.value.code == "bundle-unreadable"
    assert not list(into.iterdir()) and not (tmp_path / "outside.json").exists()


def test_a_link_in_a_zip_or_a_folder_is_refused(tmp_path: Path):
    path = tmp_path / "bundle.zip"
    with zipfile.ZipFile(path, "w") as archive:
        entry = zipfile.ZipInfo("configs/metadata.json")
        entry.external_attr = 0o120777 << 16
        archive.writestr(entry, "/etc/passwd")
    folder = tmp_path / "folder"
    (folder / "configs").mkdir(parents=True)
    (folder / "configs" / "metadata.json").symlink_to("/etc/passwd")
    for number, source in enumerate((path, folder)):
        into = tmp_path / f"into-{number}"
        into.mkdir()
        with pytest.raises(BundleError, match="a link, a device"):
            take_bundle(source=source, into=into, limits=ORDINARY)


def test_a_zip_that_grows_beyond_the_limit_is_stopped_while_it_grows(tmp_path: Path):
    path = tmp_path / "bundle.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("configs/metadata.json", bytes(64 << 20))
    into = tmp_path / "into"
    into.mkdir()
    with pytest.raises(BundleError) as refused:
        take_bundle(source=path, into=into, limits=ArchiveLimits(files=10, file_bytes=8 << 20, total_bytes=8 << 20))
    assert refused.value.code == "bundle-too-large"
    assert sum(file.stat().st_size for file in into.rglob("*") if file.is_file()) <= 8 << 20


def test_compiled_python_that_would_run_instead_of_what_is_shown_is_left_out(tmp_path: Path):
    source = bright_bundle(tmp_path / "bundle")
    (source / "scripts" / "__pycache__").mkdir(parents=True)
    (source / "scripts" / "__pycache__" / "x.cpython-311.pyc").write_bytes(b"\0" * 32)
    found = inspected(source, tmp_path / "into").inspection
    assert all("__pycache__" not in file.name for file in found.files)
    assert "not part of a bundle" in " ".join(found.remarks) or not found.left_out


@pytest.mark.parametrize(
    ("expression", "capability"),
    [
        ("__import__('os').system('id')", Capability.STARTS_PROCESSES),
        ("open('/etc/passwd').read()", Capability.READS_FILES),
        ("eval('1')", Capability.RUNS_TEXT),
        ("import socket", Capability.NETWORK),
        ("__import__('urllib.request').request.urlopen('http://x')", Capability.NETWORK),
        ("torch.hub.load('a', 'b')", Capability.NETWORK),
        ("import pickle", Capability.UNPICKLES),
        ("torch.load('x.pt')", Capability.UNPICKLES),
        ("os.environ['HOME']", Capability.ENVIRONMENT),
        ("().__class__.__base__.__subclasses__()", Capability.HIDES),
        ("getattr(torch, 'lo' + 'ad')('x')", Capability.HIDES),
        ("setattr(torch.backends.cudnn, 'benchmark', True)", Capability.CHANGES_STATE),
        ("this is (not Python", Capability.HIDES),
    ],
)
def test_a_reader_is_warned_of_what_an_expression_can_do(tmp_path: Path, expression: str, capability: Capability):
    found = inspected(hostile(tmp_path / "bundle", expression), tmp_path / "into").inspection
    (place,) = [one for one in found.code if one.place == "initialize::0"]
    assert place.text == f"${expression}" and capability in place.capabilities


def test_ordinary_expressions_are_not_cried_wolf_over(tmp_path: Path):
    found = inspected(bright_bundle(tmp_path / "bundle"), tmp_path / "into").inspection
    quiet = {place.place for place in found.code if not place.capabilities}
    assert {"imports::0", "imports::1", "output_dir", "network", "device", "output_dtype"} <= quiet
