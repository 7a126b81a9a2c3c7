"""XML from an untrusted file, without its namespaces."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from imaging.errors import UnreadableFile

_NESTING = 64


def parse_xml(data: bytes) -> Element:
    """Return the root element. Raises UnreadableFile: ``not-xml`` (or cut short), ``unsafe-xml`` (defines entities)."""
    try:
        root: Element = fromstring(data)
    except DefusedXmlException as error:
        raise UnreadableFile("unsafe-xml", "The file defines XML entities, which an annotation never needs.") from error
    except ParseError as error:
        line, column = error.position
        raise UnreadableFile(
            "not-xml", f"The file is not well-formed XML, or is cut short (line {line}, column {column})."
        ) from error
    # An encoding that is unknown or not what the bytes are.
    except (LookupError, ValueError, RecursionError) as error:
        raise UnreadableFile("not-xml", f"The file cannot be parsed as XML ({type(error).__name__}).") from error
    level = [root]
    for _ in range(_NESTING):
        level = [inner for one in level for inner in one]
        if not level:
            return root
    raise UnreadableFile("not-xml", f"The file nests more than {_NESTING} levels deep.")


def name_of(element: Element) -> str:
    """Return an element's name without its namespace; empty for a comment or an instruction."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def child_of(element: Element, name: str) -> Element:
    """Return the first child of a name, case ignored; an empty element where there is none."""
    return next(children_of(element, name), Element(name))


def children_of(element: Element, name: str) -> Iterator[Element]:
    """Yield the children of a name, case ignored: files differ in it (``Difficult``, ``difficult``)."""
    for one in element:
        if name_of(one).lower() == name.lower():
            yield one


def child_text(element: Element, name: str) -> str:
    """Return the text of the first child of a name; empty where there is none."""
    return (child_of(element, name).text or "").strip()
