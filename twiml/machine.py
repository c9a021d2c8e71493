"""One verb at work: what it asks for when its turn comes, and what it makes of what it is told.

A machine is made for one verb, asks for one thing at a time and does no I/O. Who runs it gives its
asks their numbers, tells it only what it waits for, and goes on as its outcomes say.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from twiml.call import Told
from twiml.outcome import Begun, Goto, Next, Outcome, Wait
from twiml.parameters import Parameters
from twiml.references import absolute

S = TypeVar("S", bound=msgspec.Struct)
V = TypeVar("V", bound=msgspec.Struct)


class Desk(Protocol):
    """Who runs a verb, as far as its machine needs to know."""

    @property
    def base(self) -> str:
        """What URLs of the document are relative to, or empty."""

    def ask(self) -> int:
        """The number of what is asked for next; nothing else is waited for."""

    def let_go(self) -> None:
        """Stop what is waited for, if anything."""


class Debt(StrEnum):
    """When the end of what was asked for is awaited though no document is: its action is told."""

    HUNG_UP = "hung up"
    SENT_ON = "sent on"


class Machine(ABC):
    """See the module."""

    owes: frozenset[Debt] = frozenset()

    @abstractmethod
    def begin(self) -> Begun:
        """The verb's turn has come."""

    def on(self, event: Told) -> Begun:
        """What was asked for has ended."""
        return Next()

    def pressed(self, key: str) -> Begun:
        """The party pressed a key; to most verbs that means nothing."""
        return Wait()


Verbs = Mapping[type, Callable[[Any, Desk], Machine]]
"""What can be run: a kind of verb to what makes its machine."""

Families = Mapping[type, Callable[[Any], Verbs]]
"""The verbs that can be run for somebody: a kind of verb to what makes it and those beside it."""


class Offered(Mapping[type, Callable[[Any, Desk], Machine]]):
    """The verbs of `families` for one call, made when a document first has one of a family.

    A call runs two or three of the many that it could.
    """

    __slots__ = ("_call", "_families", "_made")

    def __init__(self, families: Families, call: Any) -> None:
        self._families = families
        self._call = call
        self._made: dict[type, Callable[[Any, Desk], Machine]] = {}

    def __getitem__(self, kind: type) -> Callable[[Any, Desk], Machine]:
        """What makes the machine of a kind of verb; `KeyError` if that can't be run."""
        if kind not in self._made:
            self._made.update(self._families[kind](self._call))
        return self._made[kind]

    def __iter__(self) -> Iterator[type]:
        """The kinds that can be run."""
        return iter(self._families)

    def __len__(self) -> int:
        """How many they are."""
        return len(self._families)


class Instant(Machine, Generic[V]):
    """A verb that is done as soon as it is begun."""

    def __init__(self, do: Callable[[V, Desk], Begun], verb: V, desk: Desk) -> None:
        self._do = do
        self._verb = verb
        self._desk = desk

    def begin(self) -> Begun:
        """See `Machine`."""
        return self._do(self._verb, self._desk)


def told(action: str, method: str, parameters: Parameters) -> Outcome:
    """Twilio's rule: with an `action` its document goes on, else the next verb."""
    return Goto(url=action, method=method, parameters=parameters) if action else Next()


def resolved(value: S, base: str, *fields: str, **also: Any) -> S:
    """`value` with the URLs in `fields` absolute, of those that it has and that say something.

    What is said with `also` is changed along with them.
    """
    for field in fields:
        if url := getattr(value, field, ""):
            also[field] = absolute(base, url)
    return msgspec.structs.replace(value, **also) if also else value
