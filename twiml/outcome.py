"""How one verb ends: on to the next one, to another document, or with this document done."""

import msgspec


class Next(msgspec.Struct, frozen=True):
    """The verb is done; go on below it."""


class Goto(msgspec.Struct, frozen=True):
    """Leave this document for the one at `url` (absolute), asked for by `method`."""

    url: str
    method: str


class End(msgspec.Struct, frozen=True):
    """Nothing of this document is left to do."""


Outcome = Next | Goto | End
