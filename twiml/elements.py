"""How a verb is written, as rows: what the parser reads by, and what it gives for what it read.

A `Dialect` is what may stand in a document for one kind of traffic. The parser knows no verb by
name: it reads attributes and children by the rows, and `make` turns what was written into a value.
"""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Final, Generic, TypeVar

import msgspec

from twiml.errors import SCHEMA_WARNING

T = TypeVar("T")
V_co = TypeVar("V_co", covariant=True)


class OnBadValue(Enum):
    """What becomes of an element of which one attribute makes no sense."""

    USE_DEFAULT = "use default"
    LEAVE_OUT = "leave out"
    END_DOCUMENT = "end document"


class Attribute(msgspec.Struct, frozen=True, kw_only=True):
    """One attribute: the field it fills, and `read`, which gives None for a bad value."""

    field: str
    read: Callable[[str], object | None]
    code: int
    expected: str
    on_bad_value: OnBadValue = OnBadValue.USE_DEFAULT


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """What stood between the tags: trimmed text, and what the known children came to, in order."""

    text: str
    parts: tuple[object, ...] = ()

    def of(self, kind: type[T]) -> tuple[T, ...]:
        """The parts of one kind."""
        return tuple(part for part in self.parts if isinstance(part, kind))


class Complaint(msgspec.Struct, frozen=True):
    """A warning about one element."""

    code: int
    message: str


class Made(msgspec.Struct, Generic[V_co], frozen=True):
    """What an element came to; `value` is None if nothing can be done with it."""

    value: V_co | None
    complaints: tuple[Complaint, ...] = ()


class Element(msgspec.Struct, Generic[V_co], frozen=True, kw_only=True):
    """How one verb or noun is written.

    A child that is no key of `children` is complained of by `child_code`. What is in `undone` and
    `undone_children` is Twilio's but has no effect here, which whoever wrote it is told. `limit`
    verbs of a kind may stand in a document, the rest go.
    """

    make: Callable[[dict[str, Any], Content], Made[V_co]]
    attributes: Mapping[str, Attribute] = {}
    undone: frozenset[str] = frozenset()
    children: Mapping[str, "Element[object]"] = {}
    undone_children: frozenset[str] = frozenset()
    child_code: int = SCHEMA_WARNING
    limit: int = 0
    limit_code: int = 0


class OnNothing(Enum):
    """What an empty body is: a document that says nothing, or none at all."""

    SAYS_NOTHING = "says nothing"
    NO_DOCUMENT = "no document"


class Dialect(msgspec.Struct, Generic[V_co], frozen=True, kw_only=True):
    """What may stand in `<Response>`.

    `foreign` are known verbs that nothing is done with: each has its code and why. `of_text` reads
    a text/plain document. `review` sees all verbs and gives what is wrong with their order, by
    index.
    """

    elements: Mapping[str, Element[V_co]]
    foreign: Mapping[str, Complaint]
    of_text: Callable[[str], Made[V_co]]
    on_nothing: OnNothing
    review: Callable[[tuple[object, ...]], Mapping[int, Complaint]] = lambda verbs: {}


URL: Final = "a URL of http or https"
GET_OR_POST: Final = "GET or POST"
