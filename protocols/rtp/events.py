"""What happened on an RTP stream: values in the past tense, read with `next_event`."""

import msgspec

from protocols.rtp.rtcp import ReportBlock

Address = tuple[str, int]


class _Event(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Nothing but the options that all events share."""


# Digits


class DigitStarted(_Event, frozen=True, kw_only=True):
    """The peer presses a key: one of 0-9, *, #, A-D."""

    digit: str


class DigitEnded(_Event, frozen=True, kw_only=True):
    """It let the key go, or fell silent; `duration` is in seconds, as the peer counted it."""

    digit: str
    duration: float


DigitEvent = DigitStarted | DigitEnded


# Streams


class Latched(_Event, frozen=True, kw_only=True):
    """Media is now taken from `source`, and goes there."""

    source: Address


class SourceChanged(_Event, frozen=True, kw_only=True):
    """The peer's packets bear another SSRC than before; `before` is None for the first."""

    ssrc: int
    before: int | None


class SsrcCollided(_Event, frozen=True, kw_only=True):
    """The peer chose our SSRC; ours is `ssrc` from now on (RFC 3550 §8.2)."""

    ssrc: int
    before: int


class Looped(_Event, frozen=True, kw_only=True):
    """Our own packets come back to us, told once; they are taken as any others."""

    ssrc: int


class ReportReceived(_Event, frozen=True, kw_only=True):
    """What the peer says of the packets we sent it.

    `round_trip` is the last that its reports have shown, in seconds.
    """

    block: ReportBlock
    round_trip: float | None


class PeerLeft(_Event, frozen=True, kw_only=True):
    """The peer's source said goodbye."""

    ssrc: int
    reason: str


class MediaTimedOut(_Event, frozen=True, kw_only=True):
    """No packet was accepted since the time `since`, for as long as the bound is."""

    since: float


class MediaResumed(_Event, frozen=True, kw_only=True):
    """A packet was accepted after `MediaTimedOut`; `silence` is in seconds."""

    silence: float


Event = (
    Latched
    | SourceChanged
    | SsrcCollided
    | Looped
    | ReportReceived
    | PeerLeft
    | MediaTimedOut
    | MediaResumed
)
