"""A leg as the rest of a call sees it: what may be asked of it, and what it tells.

A leg is one peer's side: its signalling, and its node among the call's media. What is told comes
in the order in which it happened, from inside a turn of the signalling: whoever is told may
command at once. `Gone` is the last thing that matters to a call, `Finished` that nothing is left.
"""

from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from gateway.calls.model import CallLeg, Party, Quality
from protocols.rtp.latch import LatchPolicy
from protocols.sdp.media import Stream
from protocols.sip.agent_commands import Reply
from protocols.sip.agent_events import SessionId, Source, TransferId, TransferProgressed
from protocols.sip.headers import Replaces
from protocols.sip.message import NO_HEADERS, Headers, NameAddr


class Rang(msgspec.Struct, frozen=True, kw_only=True):
    """The peer is being told; with `early` there may be something to hear already."""

    status: int
    early: bool


class Retried(msgspec.Struct, frozen=True, kw_only=True):
    """Its INVITE went out again: a restart needs to know the new one."""


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """The leg stands, and media may flow; `headers` are those of the answer, if it was theirs."""

    headers: Headers = NO_HEADERS


class Gone(msgspec.Struct, frozen=True, kw_only=True):
    """The leg is over, or never came to be.

    `status` is the final code of its INVITE, 0 for none; `source` says who gave it. `reason` is a
    sentence. `contacts` are those of a 3xx, `retry_after` seconds that the peer wants to rest.
    """

    by: Party
    status: int
    source: Source
    reason: str
    headers: Headers = NO_HEADERS
    contacts: tuple[NameAddr, ...] = ()
    retry_after: int = 0


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing of the leg's signalling is left."""


class Transferred(msgspec.Struct, frozen=True, kw_only=True):
    """The peer asks for its other party to be joined to `refer_to` (RFC 3515).

    `replaces` is the dialog that is to give way to that, `replaced` its session if it is ours.
    """

    transfer: TransferId
    refer_to: NameAddr
    replaces: Replaces | None
    referred_by: NameAddr | None
    replaced: SessionId | None = None


# `TransferProgressed` is what becomes of a transfer that we ask the peer for.
Event = Rang | Retried | Answered | Gone | Finished | Transferred | TransferProgressed
Tell = Callable[["Leg", Event], None]


class Leg(Protocol):
    """One peer's side of a call."""

    @property
    def id(self) -> str:
        """Its node among the call's media."""
        ...

    @property
    def record(self) -> CallLeg:
        """What is known of it now, as it is stored."""
        ...

    @property
    def is_up(self) -> bool:
        """Whether it was answered and is not over."""
        ...

    @property
    def hears(self) -> bool:
        """Whether sound goes to the peer: it was answered, or is about to be, or hears early."""
        ...

    @property
    def codecs(self) -> tuple[str, ...]:
        """The names of what is spoken with it, the first is sent; empty before that is known."""
        ...

    def ring(self, *, status: int = 180) -> None:
        """Tell the caller that it rings; 183 with what there is to hear."""
        ...

    async def answer(self) -> None:
        """Take the call; raises `NoMedia` if that is not possible."""
        ...

    def hang_up(self, status: int, reason: str) -> None:
        """End it, however far it is; `status` is what a caller is refused with."""
        ...


class PeerLeg(Leg, Protocol):
    """A leg with a peer of its own, whatever that speaks: it can be a call's first one."""

    @property
    def call_of(self) -> str:
        """The call among whose media it is."""
        ...

    @property
    def saved(self) -> CallLeg:
        """Its record with what a restart needs."""
        ...

    @property
    def closed(self) -> CallLeg:
        """Its record when nothing is left to set free."""
        ...

    @property
    def stream(self) -> Stream | None:
        """What was agreed on last; None before that."""
        ...

    @property
    def is_heard(self) -> bool:
        """Whether the peer of a call of ours said anything."""
        ...

    def measured(self, received: Quality, sent: Quality) -> None:
        """Keep how its media was."""
        ...

    def receive(self, event: Any) -> None:
        """Become the leg of a call that came in, by what its signalling told of it."""
        ...

    def expect(self, signalling: str, latch: LatchPolicy) -> None:
        """Let the call's media know of it, before it is prepared: it may be spoken of."""
        ...

    async def prepare(self) -> None:
        """Get the place for its media that it expects; raises `NoMedia`."""
        ...

    def describe(self) -> None:
        """Say what the answer will be, so that media can be made ready; raises `Disagreed`."""
        ...

    def refuse(self, reply: Reply) -> None:
        """Refuse a call that came in."""
        ...

    def confirm(self) -> None:
        """Tell the peer that its answer was taken, now that what a restart needs is durable."""
        ...
