"""Attributes whose effect is taken away: read as ever, warned of as ever, and forgotten.

The rows are those that the page about TwiML is made of: what documents for calls promise.
"""

import contextlib
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from gateway.calls import documents
from twiml import registry
from twiml.elements import Element
from twiml.parser import _Reading
from twiml.registry import Place
from twiml.voice_dialect import ALL_VOICE

TEST: Final = "tests/unit/twiml/test_twiml_attributes.py::test_an_attribute_makes_its_difference"


class Mutant(msgspec.Struct, frozen=True):
    """One attribute of one element, wherever that stands below its parent."""

    place: Place
    attribute: str

    def is_of(self, node: Any) -> bool:
        """Whether an element of a document is the one; what a verb has may stand in others too."""
        *around, name = self.place
        return bool(node.tag == name and (len(around) < 2 or node.getparent().tag == around[-1]))


def promised() -> dict[str, Mutant]:
    """Every attribute with an effect, by its name."""
    return {
        f"{'>'.join(place)} {attribute}": Mutant(place, attribute)
        for place, attribute in registry.promised(ALL_VOICE)
    }


@contextlib.contextmanager
def forgotten(mutant: Mutant) -> Iterator[None]:
    """Have the attribute always give its default."""
    read = _Reading._fields

    def forgetful(
        self: "_Reading[Any]", node: Any, element: Element[object]
    ) -> dict[str, Any] | None:
        fields = read(self, node, element)
        if fields is not None and mutant.is_of(node):
            fields.pop(element.attributes[mutant.attribute].field, None)
        return fields

    _Reading._fields = forgetful  # type: ignore[method-assign]
    documents._parse_short.cache_clear()  # a gateway remembers what short ones came to
    try:
        yield
    finally:
        _Reading._fields = read  # type: ignore[method-assign]
        documents._parse_short.cache_clear()
