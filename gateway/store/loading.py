"""What whoever fills a store from elsewhere is told of what stands there before it."""

import msgspec


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """What is in a store that is about to be replaced.

    `members` are at work on it. `sequences` has the highest ids that it gave out, by table. Of a
    damaged one, which is not `readable`, nothing is known.
    """

    readable: bool = True
    has_messages: bool = False
    members: tuple[str, ...] = ()
    sequences: dict[str, int] = {}
