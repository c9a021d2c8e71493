"""What the message path holds in memory: flights by SID, and the ways to find one.

The store is the truth; this is the part of it that is being worked on, plus a bounded memory
of messages that wait for their receipts, so that the usual receipt needs no read.
"""

from collections import OrderedDict
from collections.abc import Iterator

from gateway.messages.flight import Flight, PartState
from gateway.model import MessageStatus

_MOVING = frozenset({MessageStatus.QUEUED, MessageStatus.SENDING})
_WIPED = 10_000  # messages of which something may still be under way at their redaction


class Book:
    """Flights by SID; by carrier id; by user_message_reference until they are sent."""

    def __init__(self, remembered: int) -> None:
        self._remembered = remembered
        self._moving: dict[str, Flight] = {}
        self._waiting: OrderedDict[str, Flight] = OrderedDict()  # for receipts
        self._by_id: OrderedDict[tuple[str, str], tuple[str, int]] = OrderedDict()
        self._by_reference: dict[tuple[str, int], tuple[str, int]] = {}
        self._held: dict[str, Flight] = {}
        self._wiped: OrderedDict[str, None] = OrderedDict()

    def __contains__(self, sid: str) -> bool:
        return sid in self._moving or sid in self._waiting

    def __len__(self) -> int:
        return len(self._moving) + len(self._waiting)

    def get(self, sid: str) -> Flight | None:
        """The flight of the message `sid`, if it is in memory."""
        return self._moving.get(sid) or self._waiting.get(sid)

    def moving(self) -> Iterator[Flight]:
        """Flights that are queued or being sent."""
        return iter(list(self._moving.values()))

    def held(self) -> Iterator[Flight]:
        """Those of them that have a part whose answer may never come."""
        return iter(list(self._held.values()))

    def attempted(self) -> Iterator[Flight]:
        """Those of them that a carrier may have seen."""
        sids = dict.fromkeys(sid for sid, _ in self._by_reference.values())
        return (self._moving[sid] for sid in sids if sid in self._moving)

    def keep(self, flight: Flight) -> None:
        """Hold `flight` where its state belongs; call it after each change of state."""
        sid = flight.message.sid
        if flight.message.status in _MOVING:
            self._waiting.pop(sid, None)
            self._moving[sid] = flight
            if PartState.HELD in flight.parts:
                self._held[sid] = flight
            else:
                self._held.pop(sid, None)
            return
        self._moving.pop(sid, None)
        self._held.pop(sid, None)
        if flight.settled() or flight.message.status is MessageStatus.FAILED:
            self._waiting.pop(sid, None)
            return
        self._waiting[sid] = flight
        if len(self._waiting) > self._remembered:
            self._waiting.popitem(last=False)

    def forget(self, sid: str) -> None:
        """Let go of a message that was deleted or canceled."""
        self._moving.pop(sid, None)
        self._waiting.pop(sid, None)
        self._held.pop(sid, None)

    def drop(self, carrier: str) -> list[str]:
        """Forget everything of `carrier`, which has another owner now; the SIDs that moved."""
        moved = [sid for sid, flight in self._moving.items() if flight.message.carrier == carrier]
        waited = [sid for sid, flight in self._waiting.items() if flight.message.carrier == carrier]
        for sid in (*moved, *waited):
            self.forget(sid)
        for by_id in [key for key in self._by_id if key[0] == carrier]:
            del self._by_id[by_id]
        for by_reference in [key for key in self._by_reference if key[0] == carrier]:
            del self._by_reference[by_reference]
        return moved

    def wipe(self, sid: str) -> None:
        """What the message `sid` said must not be kept again."""
        self._wiped[sid] = None
        if len(self._wiped) > _WIPED:
            self._wiped.popitem(last=False)

    def is_wiped(self, sid: str) -> bool:
        """Whether the message was redacted or deleted since the start."""
        return sid in self._wiped

    def learn_id(self, carrier: str, id_key: str, sid: str, part: int) -> None:
        """Remember which part the carrier calls `id_key`."""
        self._by_id[carrier, id_key] = (sid, part)
        if len(self._by_id) > 2 * self._remembered:
            self._by_id.popitem(last=False)

    def part_by_id(self, carrier: str, id_key: str) -> tuple[str, int] | None:
        """The (SID, part) that the carrier calls `id_key`, if it is remembered."""
        return self._by_id.get((carrier, id_key))

    def learn_references(self, flight: Flight) -> None:
        """Remember the user_message_references of a flight, from its first attempt on."""
        message = flight.message
        for part in range(1, message.parts + 1):
            key = message.carrier, reference_of(message.reference, part)
            self._by_reference[key] = (message.sid, part)

    def forget_references(self, flight: Flight) -> None:
        """They may be used again."""
        message = flight.message
        if message.reference < 0:
            return
        for part in range(1, message.parts + 1):
            key = message.carrier, reference_of(message.reference, part)
            if self._by_reference.get(key) == (message.sid, part):
                del self._by_reference[key]

    def part_by_reference(self, carrier: str, reference: int) -> tuple[str, int] | None:
        """The (SID, part) that went out with this user_message_reference and is unsettled."""
        return self._by_reference.get((carrier, reference))

    def free_reference(self, carrier: str, start: int, parts: int) -> int:
        """The first reference from `start` of which `parts` in a row are not in use."""
        for offset in range(0, 65536, parts):
            first = (start + offset) % 65536
            keys = ((carrier, reference_of(first, part)) for part in range(1, parts + 1))
            if not any(key in self._by_reference for key in keys):
                return first
        return start % 65536


def reference_of(first: int, part: int) -> int:
    """The user_message_reference (16 bits) of part `part` when part 1 has `first`."""
    return (first + part - 1) % 65536
