"""Attributes whose effect is taken away: read as ever, warned of as ever, and forgotten.

The rows are those of the dialect for calls, without the attributes that it says have no effect.
"""

import contextlib
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from twiml.elements import Attribute, Element
from twiml.parser import _Reading
from twiml.voice_dialect import ALL_VOICE

TEST: Final = "tests/unit/twiml/test_twiml_attributes.py::test_an_attribute_makes_its_difference"


class Mutant(msgspec.Struct, frozen=True):
    """One attribute of one element, by the rows that it stands in."""

    rows: Mapping[str, Attribute]
    attribute: str


def promised() -> dict[str, Mutant]:
    """Every attribute with an effect, by its name: each element once, where it is met first."""
    found: dict[str, Mutant] = {}
    met: set[tuple[int, int]] = set()
    waiting: deque[tuple[str, Element[Any]]] = deque(ALL_VOICE.elements.items())
    while waiting:
        path, element = waiting.popleft()
        # SSML nests without end, of the same rows and children.
        key = (id(element.attributes), id(element.children))
        if key in met:
            continue
        met.add(key)
        if not any(element.attributes is each.rows for each in found.values()):
            for attribute in element.attributes.keys() - element.undone.keys():
                found[f"{path} {attribute}"] = Mutant(element.attributes, attribute)
        waiting.extend((f"{path}>{name}", child) for name, child in element.children.items())
    return found


@contextlib.contextmanager
def forgotten(mutant: Mutant) -> Iterator[None]:
    """Have the attribute always give its default."""
    read = _Reading._fields

    def forgetful(
        self: "_Reading[Any]", node: Any, element: Element[object]
    ) -> dict[str, Any] | None:
        fields = read(self, node, element)
        if fields is not None and element.attributes is mutant.rows:
            fields.pop(mutant.rows[mutant.attribute].field, None)
        return fields

    _Reading._fields = forgetful  # type: ignore[method-assign]
    try:
        yield
    finally:
        _Reading._fields = read  # type: ignore[method-assign]
