"""What a piece of a bundle's code can do, by the names that it uses: help for whoever reads it before approval.

This is reading, not protection. Code can hide what it does, and what hides is named as hiding; what keeps it from
doing harm is the confinement that it runs in.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator
from enum import StrEnum


class Capability(StrEnum):
    """One thing that code can do and a reader should know of."""

    IMPORTS = "loads modules"
    READS_FILES = "reads or writes files"
    RUNS_TEXT = "runs text as code"
    STARTS_PROCESSES = "starts processes"
    NETWORK = "uses the network"
    UNPICKLES = "unpickles"
    ENVIRONMENT = "reads the environment"
    CHANGES_STATE = "changes settings of a library"
    HIDES = "hides what it does"
    CALLS_OWN_CODE = "calls the bundle's own Python"


HARMLESS_MODULES = frozenset({"glob", "json", "math", "monai", "numpy", "re", "scripts", "torch"})
"""Imported by most bundles. What is done with them is judged where they are used."""

_MODULES = {
    Capability.STARTS_PROCESSES: {"subprocess", "multiprocessing", "pty", "ctypes", "cffi", "signal", "concurrent"},
    Capability.NETWORK: {
        "socket", "ssl", "urllib", "urllib3", "requests", "http", "httpx", "aiohttp", "ftplib", "smtplib", "telnetlib",
        "xmlrpc", "socketserver", "asyncio", "paramiko", "boto3", "huggingface_hub", "gdown", "wandb", "mlflow",
    },
    Capability.UNPICKLES: {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"},
    Capability.RUNS_TEXT: {"importlib", "runpy", "code", "codeop", "imp", "pkgutil"},
    Capability.READS_FILES: {
        "os", "pathlib", "shutil", "tempfile", "io", "glob", "fileinput", "zipfile", "tarfile", "mmap", "nibabel",
        "itk", "SimpleITK", "pydicom", "h5py", "sqlite3",
    },
    Capability.HIDES: {"base64", "codecs", "zlib", "binascii", "gc", "inspect", "sys", "builtins"},
}  # fmt: skip

_NAMES = {
    Capability.RUNS_TEXT: {"eval", "exec", "compile", "__import__", "import_module", "run_path", "run_module"},
    Capability.STARTS_PROCESSES: {
        "system", "popen", "fork", "forkpty", "spawnl", "spawnv", "posix_spawn", "execv", "execve", "execl", "execvp",
        "kill", "killpg", "Popen", "check_output", "check_call",
    },
    Capability.NETWORK: {
        "urlopen", "urlretrieve", "download", "download_url", "download_and_extract", "hub", "create_connection",
        "hf_hub_download", "load_from_mmar", "load_state_dict_from_url",
    },
    Capability.UNPICKLES: {
        "unpickle", "pickle_module", "allow_pickle", "load_module", "Unpickler", "PersistentDataset",
    },
    Capability.READS_FILES: {
        "open", "glob", "iglob", "listdir", "walk", "scandir", "remove", "unlink", "rmtree", "rename", "mkdir",
        "makedirs", "read_text", "read_bytes", "write_text", "write_bytes", "fromfile", "tofile", "loadtxt", "savetxt",
        "load_decathlon_datalist", "load_config_file", "exists", "isfile", "isdir", "symlink", "chmod", "chown",
    },
    Capability.ENVIRONMENT: {"environ", "getenv", "putenv", "environb", "getlogin", "gethostname", "expanduser"},
    Capability.CHANGES_STATE: {"setattr", "delattr", "set_determinism", "manual_seed", "set_num_threads"},
    Capability.HIDES: {"getattr", "globals", "locals", "vars", "builtins", "b64decode", "fromhex", "chr", "attrgetter"},
}  # fmt: skip

_WITH_A_MODULE = {
    ("torch", "load"): Capability.UNPICKLES,
    ("torch", "save"): Capability.READS_FILES,
    ("jit", "load"): Capability.RUNS_TEXT,
    ("np", "load"): Capability.READS_FILES,
    ("numpy", "load"): Capability.READS_FILES,
    ("np", "save"): Capability.READS_FILES,
    ("numpy", "save"): Capability.READS_FILES,
    ("json", "load"): Capability.READS_FILES,
    ("bundle", "load"): Capability.READS_FILES,
}

_ORDINARY_DUNDERS = frozenset({"__init__", "__version__", "__file__", "__name__", "__len__", "__call__"})
_LONGEST = 20_000


def of_expression(text: str) -> tuple[Capability, ...]:
    """Return what an expression can do; ``text`` is without its ``$``, and references are plain names in it."""
    return _of_code(text)


def of_source(text: str) -> tuple[Capability, ...]:
    """Return what a Python file of a bundle can do."""
    return _of_code(text, longest=2_000_000)


def of_target(name: str) -> tuple[Capability, ...]:
    """Return what a ``_target_`` can do: it is called by name, and any function of any module has one."""
    stripped = name.strip().lstrip("$@")
    parts = stripped.split(".")
    found = set(_of_names([*parts]))
    if len(parts) > 1:
        found |= {capability for capability, modules in _MODULES.items() if parts[0] in modules}
        found |= {_WITH_A_MODULE[pair] for pair in itertools.pairwise(parts) if pair in _WITH_A_MODULE}
        if parts[0] not in {"monai", "torch", "numpy", "ignite"}:
            found.add(Capability.CALLS_OWN_CODE if parts[0] == "scripts" else Capability.IMPORTS)
    return _ordered(found)


def _of_code(text: str, *, longest: int = _LONGEST) -> tuple[Capability, ...]:
    if len(text) > longest:
        return (Capability.HIDES,)
    try:
        tree = ast.parse(text.strip())
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        # What does not parse is not run either; still, say what its words are.
        return _ordered({*_of_names(re.findall(r"\w+", text)), Capability.HIDES})
    return _ordered(set(_of_tree(tree)))


def _of_tree(tree: ast.AST) -> Iterator[Capability]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _of_module(alias.name)
        elif isinstance(node, ast.ImportFrom):
            yield from _of_module(node.module or "scripts")
            yield from _of_names([alias.name for alias in node.names])
        elif isinstance(node, ast.Name):
            yield from _of_names([node.id])
        elif isinstance(node, ast.Attribute):
            yield from _of_names([node.attr])
            if isinstance(node.value, ast.Name):
                yield from (c for c, modules in _MODULES.items() if node.value.id in modules and node.value.id != "os")
            owner = node.value.id if isinstance(node.value, ast.Name) else getattr(node.value, "attr", "")
            if (owner, node.attr) in _WITH_A_MODULE:
                yield _WITH_A_MODULE[owner, node.attr]
        elif isinstance(node, ast.keyword) and node.arg:
            yield from _of_names([node.arg])


def _of_module(name: str) -> Iterator[Capability]:
    top = name.partition(".")[0]
    if top not in HARMLESS_MODULES and top != "os":
        yield Capability.IMPORTS
    for capability, modules in _MODULES.items():
        # Importing glob or os is what every bundle does; using them is what counts, and is found at its place.
        if top in modules and top not in HARMLESS_MODULES and top != "os":
            yield capability


def _of_names(names: list[str]) -> Iterator[Capability]:
    for name in names:
        for capability, words in _NAMES.items():
            if name in words:
                yield capability
        if name.startswith("__") and name.endswith("__") and name not in _ORDINARY_DUNDERS:
            yield Capability.HIDES


def _ordered(found: set[Capability]) -> tuple[Capability, ...]:
    return tuple(capability for capability in Capability if capability in found)
