"""A bundle's configuration as plain text: what it says, and every place where it is code, without running any."""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from imaging.errors import BundleError
from imaging.inference.foreign.capabilities import Capability, of_expression, of_target

SUFFIXES = frozenset({".json", ".yaml", ".yml"})
_MOST_BYTES = 8 * 1024 * 1024
_MOST_NODES = 200_000
_DEEPEST = 80

EXPRESSION = "expression"
TARGET = "target"
MACRO = "macro"
REFERENCE = "reference"

_REFERENCES = re.compile(r"@(?:(?:\w+)(?:(?:::|#)\w+)*)")


@dataclass(frozen=True, slots=True)
class CodePlace:
    """One place where a configuration is code.

    ``place``: the keys that lead there, joined by ``::``. ``kind``: an expression (evaluated as Python), a target (a
    class or function that is called), a macro (text taken from elsewhere) or a reference. ``text`` as it stands.
    """

    file: str
    place: str
    kind: str
    text: str
    capabilities: tuple[Capability, ...]


def read_configuration(*, path: Path, name: str) -> dict[str, Any]:
    """Return a JSON or YAML file as plain data: no expression is evaluated and no object is made from a tag.

    Raises BundleError ``bundle-unreadable``: not JSON or YAML, a key given twice (which of the two counts depends on
    who reads), not a mapping, too large or too deep. ``name`` stands in the message.
    """
    if path.stat().st_size > _MOST_BYTES:
        raise _unreadable(name, "it is larger than a configuration may be")
    data = path.read_bytes()
    try:
        if path.suffix == ".json":
            content = json.loads(data.decode("utf-8-sig"), object_pairs_hook=_once)
        else:
            content = yaml.load(data, _PlainLoader)  # noqa: S506 - derived from SafeLoader
    except RecursionError as error:
        raise _unreadable(name, "it is nested too deeply") from error
    except (ValueError, yaml.YAMLError) as error:
        raise _unreadable(name, " ".join(str(error).split())[:200]) from error
    if not isinstance(content, dict):
        raise _unreadable(name, "it does not hold names with values")
    nodes = sum(1 for _ in _walk(content, name))
    if nodes > _MOST_NODES:
        raise _unreadable(name, "it holds too many values")
    return {str(key): value for key, value in content.items()}


def code_places(*, content: Mapping[str, Any], file: str) -> tuple[CodePlace, ...]:
    """Return every expression, target, macro and reference of a configuration, in the order of the file."""
    return tuple(_found(content, file))


def references_of(text: str) -> tuple[str, ...]:
    """Return the ids that an expression or a reference names, without their ``@``."""
    return tuple(dict.fromkeys(one[1:].replace("#", "::") for one in _REFERENCES.findall(text)))


def _found(content: Mapping[str, Any], file: str) -> Iterator[CodePlace]:
    for place, key, value in _walk(content, file):
        if not isinstance(value, str):
            continue
        # MONAI looks at the very first character; whoever reads should not miss one behind spaces either.
        text = value.lstrip()
        if text.startswith("$"):
            yield CodePlace(file, place, EXPRESSION, value, of_expression(_REFERENCES.sub("_ref", text[1:])))
        elif key in ("_target_", "_code_", "_wrapper_"):
            yield CodePlace(file, place, TARGET, value, of_target(value))
        elif text.startswith("%"):
            yield CodePlace(file, place, MACRO, value, ())
        elif text.startswith("@"):
            yield CodePlace(file, place, REFERENCE, value, ())


def _walk(content: Any, name: str) -> Iterator[tuple[str, str, Any]]:
    """Give (place, last key, value) of everything in it. Aliases of YAML can make a small file endless: it counts."""
    count = 0
    stack: list[tuple[str, str, Any, int]] = [("", "", content, 0)]
    while stack:
        place, key, value, depth = stack.pop()
        count += 1
        if count > _MOST_NODES or depth > _DEEPEST:
            raise _unreadable(name, "it holds too many values, or is nested too deeply")
        yield place, key, value
        children: list[tuple[str, str, Any, int]] = []
        if isinstance(value, dict):
            children = [(f"{place}::{k}" if place else str(k), str(k), v, depth + 1) for k, v in value.items()]
        elif isinstance(value, list):
            children = [(f"{place}::{i}" if place else str(i), str(i), v, depth + 1) for i, v in enumerate(value)]
        stack.extend(reversed(children))


class _PlainLoader(yaml.SafeLoader):
    """Safe loading, and no key twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = next((key for key in keys if keys.count(key) > 1), None) if len(keys) < 10_000 else "(too many keys)"
        if twice is not None:
            raise ValueError(f"the key {twice!r} is given twice")
        return super().construct_mapping(node, deep=deep)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} is given twice")
    return result


def _unreadable(name: str, why: str) -> BundleError:
    return BundleError("bundle-unreadable", f"{name} cannot be read: {why}.", subjects=(name,))
