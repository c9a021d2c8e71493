"""Which tests show that an attribute works: each one's row on a fake call, and what there is more.

What is named here runs in a gateway, where an attribute's effect is another's than the document's.
"""

from collections.abc import Mapping
from typing import Final

from tests.mutate.mutants import TEST
from tests.unit.twiml.test_twiml_attributes import ROWS

GATEWAY: Final[Mapping[str, tuple[str, ...]]] = {}


def named() -> dict[str, tuple[str, ...]]:
    """The tests of each attribute, by its name."""
    return {name: (f"{TEST}[{name}]", *GATEWAY.get(name, ())) for name in {**ROWS, **GATEWAY}}
