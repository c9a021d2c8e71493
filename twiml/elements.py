"""How a verb is written, as rows: what the parser reads by, and what it gives for what it read.

A `Dialect` is what may stand in a document for one kind of traffic. The parser knows no verb by
name: it reads attributes and children by the rows, and `make` turns what was written into a value.
"""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Final, Generic, TypeVar

import msgspec

from twiml.errors import SCHEMA_WARNING, Level

T = TypeVar("T")
V_co = TypeVar("V_co", covariant=True)


class OnBadValue(Enum):
    """What becomes of an element of which one attribute makes no sense."""

    USE_DEFAULT = "use default"
    LEAVE_OUT = "leave out"
    END_DOCUMENT = "end document"


class Attribute(msgspec.Struct, frozen=True, kw_only=True):
    """One attribute: the field it fills, and `read`, which gives None for a bad value.

    One that fills no field is looked at for bad values alone. `difference` is what is not as at
    Twilio, for the page about it; empty if nothing is.
    """

    field: str
    read: Callable[[str], object | None]
    code: int
    expected: str
    on_bad_value: OnBadValue = OnBadValue.USE_DEFAULT
    difference: str = ""


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """What stood between the tags: trimmed text, and what the known children came to, in order.

    `mixed` is both as they stood, runs of text as `str`.
    """

    text: str
    parts: tuple[object, ...] = ()
    mixed: tuple[object, ...] = ()

    def of(self, kind: type[T]) -> tuple[T, ...]:
        """The parts of one kind."""
        return tuple(part for part in self.parts if isinstance(part, kind))


class Complaint(msgspec.Struct, frozen=True):
    """What is wrong with one element; with an error the document is refused."""

    code: int
    message: str
    level: Level = Level.WARNING


class Made(msgspec.Struct, Generic[V_co], frozen=True):
    """What an element came to; `value` is None if nothing can be done with it."""

    value: V_co | None
    complaints: tuple[Complaint, ...] = ()


class Element(msgspec.Struct, Generic[V_co], frozen=True, kw_only=True):
    """How one verb or noun is written.

    A child that is no key of `children` is complained of by `child_code`. What is in `undone` and
    `undone_children` is Twilio's but has no effect here, which whoever wrote it is told, with why.
    An attribute that has a row beside that is read all the same, so that a wrong value is found.
    `limit` verbs of a kind may stand in a document, the rest go. `difference` is as that of an
    attribute.
    """

    make: Callable[[dict[str, Any], Content], Made[V_co]]
    attributes: Mapping[str, Attribute] = {}
    undone: Mapping[str, str] = {}
    children: Mapping[str, "Element[object]"] = {}
    undone_children: Mapping[str, str] = {}
    child_code: int = SCHEMA_WARNING
    limit: int = 0
    limit_code: int = 0
    difference: str = ""


class OnNothing(Enum):
    """What an empty body is: a document that says nothing, or none at all."""

    SAYS_NOTHING = "says nothing"
    NO_DOCUMENT = "no document"


class Dialect(msgspec.Struct, Generic[V_co], frozen=True, kw_only=True):
    """What may stand in `<Response>`.

    `foreign` are known verbs that nothing is done with: each has its code and why. A text/plain
    document is the text of one `of_text`. `review` sees all verbs and gives what is wrong with
    their order, by index.
    """

    elements: Mapping[str, Element[V_co]]
    foreign: Mapping[str, Complaint]
    of_text: str
    on_nothing: OnNothing
    review: Callable[[tuple[object, ...]], Mapping[int, Complaint]] = lambda verbs: {}


URL: Final = "a URL of http or https"
GET_OR_POST: Final = "GET or POST"
SECONDS: Final = "a whole number of seconds"
YES_OR_NO: Final = "true or false"


def unused_text(content: Content, name: str) -> tuple[Complaint, ...]:
    """The warning for text in an element that has none."""
    if not content.text:
        return ()
    return (Complaint(SCHEMA_WARNING, f"the text in a <{name}> has no meaning"),)
