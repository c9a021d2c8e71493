"""How one verb ends: on to the next one, to another document, or with this document done."""

import msgspec


class Next(msgspec.Struct, frozen=True):
    """The verb is done; go on below it."""


class Goto(msgspec.Struct, frozen=True):
    """Leave this document for the one at `url` (absolute), asked for by `method`.

    `parameters` say how the verb ended; they are sent beside those that every request has.
    """

    url: str
    method: str
    parameters: tuple[tuple[str, str], ...] = ()


class End(msgspec.Struct, frozen=True):
    """Nothing of this document is left to do."""


class Over(msgspec.Struct, frozen=True):
    """The call was told how it goes on, or ends, without a document: nothing more is asked."""


class Wait(msgspec.Struct, frozen=True):
    """The verb has begun; an event will say how it ended."""


Outcome = Next | Goto | End
Begun = Outcome | Over | Wait
