"""One leg's streams without I/O: what comes in is judged and counted, reports go both ways.

Whoever drives it gives each datagram that came in to `receive_packet` or `receive_control` and
each packet that went out to `packet_sent`, reads `next_event` until None, sends what
`control_to_send` returns to `control_destination`, and calls `handle_timer` when `timer` says so.
Packets that were accepted are the driver's to pass on: the session keeps none. SRTP is undone
before and made after it. Times are seconds of one clock that never goes back.
"""

from collections import deque
from collections.abc import Callable
from math import inf
from typing import Final

import msgspec

from protocols.rtp import events, rtcp
from protocols.rtp.aim import Aim
from protocols.rtp.events import Address, Event
from protocols.rtp.latch import Latch, LatchPolicy, Verdict
from protocols.rtp.packet import HEADER, HEADER_OCTETS, Malformed, Octets
from protocols.rtp.quality import StreamQuality, judge
from protocols.rtp.reception import Reception
from protocols.rtp.reporting import Reporter, ReporterConfig
from protocols.rtp.rtcp import Goodbye, ReceiverReport, Report, SenderReport, SourceDescription
from protocols.rtp.sources import Sources

_ACCEPTED: Final = Verdict.ACCEPTED
CONTROL_SILENCE: Final = 15.0  # seconds without RTCP after which it may come from elsewhere


class SessionConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What a session is told once; see `ReporterConfig` for RTCP.

    `timeout` is the time without media in seconds after which `MediaTimedOut` is told, 0 for
    never. `buffered` is the time in seconds that a packet waits before it is heard, here or at
    the peer, as far as quality goes.
    """

    reports: ReporterConfig
    policy: LatchPolicy = LatchPolicy.SIGNALLED
    timeout: float = 0.0
    buffered: float = 0.06


class Remote(msgspec.Struct, frozen=True, kw_only=True):
    """What an offer and its answer say of the peer.

    `address` and `signalling` are as in `Latch`. `control` is where it takes RTCP: None for where
    it takes RTP (RFC 5761). `codec` is the name in SDP of the first codec agreed on, with its
    clock rate in Hz.
    """

    address: Address | None
    signalling: str
    control: Address | None = None
    codec: str = "PCMU"
    clock_rate: int = 8000


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """How both directions are; `dropped` counts what was not accepted, by its verdict.

    `received` is what we counted; `sent` what the peer last reported, beside our own counts of
    packets and octets. `round_trip` is in seconds, None as long as none was seen.
    """

    received: StreamQuality
    sent: StreamQuality
    round_trip: float | None
    dropped: dict[Verdict, int]


class Session:
    """One end of a leg's media; see the module for how to drive it.

    `ssrc` is what we send under; `new_ssrc` gives another, should the peer choose the same.
    `chance` gives numbers evenly spread over 0 to 1, 1 excluded. With an `aim` there is no latch.
    """

    __slots__ = (
        "_adopted",
        "_collided",
        "_control_latch",
        "_discarded",
        "_dropped",
        "_events",
        "_heard",
        "_looped",
        "_new_ssrc",
        "_octets",
        "_outbox",
        "_remote",
        "_sources",
        "_timed_out",
        "_watched",
        "config",
        "latch",
        "peer_cname",
        "reporter",
    )

    def __init__(
        self,
        config: SessionConfig,
        remote: Remote,
        *,
        ssrc: int,
        new_ssrc: Callable[[], int],
        chance: Callable[[], float],
        now: float,
        aim: Aim | None = None,
    ) -> None:
        self.config = config
        self.peer_cname = ""
        self._remote = remote
        self.latch: Latch | Aim = aim or Latch(
            address=remote.address,
            signalling=remote.signalling,
            now=now,
            policy=config.policy,
        )
        self._control_latch = self._latch_control(remote, now)
        self.reporter = Reporter(
            config.reports, ssrc=ssrc, clock_rate=remote.clock_rate, chance=chance, now=now
        )
        self._new_ssrc = new_ssrc
        self._adopted = False  # our SSRC is that of packets that are passed on
        self._collided = False  # our SSRC was changed once
        self._looped = False
        self._sources = Sources()
        self._octets = 0
        self._discarded = 0
        self._heard = -inf
        self._watched = now  # since when media is expected
        self._timed_out = False
        self._dropped: dict[Verdict, int] = {}
        self._events: deque[Event] = deque()
        self._outbox: list[bytes] = []

    def _latch_control(self, remote: Remote, now: float) -> Latch | None:
        if remote.control is None:
            return None
        return Latch(
            address=remote.control,
            signalling=remote.signalling,
            now=now,
            policy=self.config.policy,
            silence=CONTROL_SILENCE,
        )

    @property
    def ssrc(self) -> int:
        """What packets of our own are to bear, asked for each: a collision changes it."""
        return self.reporter.ssrc

    # What the peer did

    def receive_packet(self, octets: Octets, source: Address, now: float) -> Verdict:
        """Judge and count a datagram that is RTP by `packet.kind`."""
        size = len(octets)
        if size < HEADER_OCTETS or octets[0] & 0xC0 != 0x80:
            return self._drop(Verdict.MALFORMED)
        _, _, sequence, timestamp, ssrc = HEADER.unpack_from(octets)
        verdict = _ACCEPTED
        if source != self.latch.locked:
            verdict = self._judge(source, ssrc, sequence, now)
            if not verdict.is_accepted:
                return self._drop(verdict)
        reception = self._sources.current
        if reception is None or ssrc != reception.ssrc:
            reception = self._switch(ssrc, sequence, timestamp, now)
        reception.update(sequence, timestamp, now)
        if self._timed_out:
            self._resume(now)
        self._heard = now
        self._octets += size - HEADER_OCTETS
        return verdict

    def _judge(self, source: Address, ssrc: int, sequence: int, now: float) -> Verdict:
        """Ask the latch about a packet that is not from where it is latched to."""
        latest = self._sources.current
        if latest is not None:
            self.latch.heard(latest.ssrc, latest.highest, self._heard)
        verdict = self.latch.packet(source, ssrc, sequence, now)
        if verdict is Verdict.LATCHED:
            self._events.append(events.Latched(source=source))
        return verdict

    def receive_control(self, octets: Octets, source: Address, now: float) -> Verdict:
        """Judge and read a datagram that is RTCP by `packet.kind`."""
        reports = rtcp.read(octets)
        if isinstance(reports, Malformed) or len(octets) < 8:
            return self._drop(Verdict.MALFORMED)
        verdict = self._judge_control(octets, source, now)
        if not verdict.is_accepted:
            return self._drop(verdict)
        self.reporter.weigh(len(octets))
        for report in reports:
            self._take(report, now)
        return verdict

    def _judge_control(self, octets: Octets, source: Address, now: float) -> Verdict:
        if self._control_latch is not None:
            ssrc = int.from_bytes(octets[4:8], "big")
            return self._control_latch.packet(source, ssrc, -1, now)
        return Verdict.ACCEPTED if self.latch.admits(source) else Verdict.STRANGER

    def _take(self, report: Report, now: float) -> None:
        match report:
            case SenderReport(ssrc=ssrc, ntp=ntp, blocks=blocks):
                reception = self._sources.get(ssrc)
                if reception is not None:
                    reception.reported(ntp, now)
                self._take_blocks(blocks, now)
            case ReceiverReport(blocks=blocks):
                self._take_blocks(blocks, now)
            case SourceDescription(names=names):
                for ssrc, name in names:
                    if ssrc in self._sources:
                        self.peer_cname = name
            case Goodbye(ssrcs=ssrcs, reason=reason):
                for ssrc in dict.fromkeys(ssrcs):
                    if ssrc in self._sources:
                        self._events.append(events.PeerLeft(ssrc=ssrc, reason=reason))

    def _take_blocks(self, blocks: tuple[rtcp.ReportBlock, ...], now: float) -> None:
        block = self.reporter.take(blocks, now)
        if block is not None:
            round_trip = self.reporter.round_trip
            self._events.append(events.ReportReceived(block=block, round_trip=round_trip))

    def _switch(self, ssrc: int, sequence: int, timestamp: int, now: float) -> Reception:
        """The peer sends under another SSRC than before, old or new."""
        if ssrc == self.reporter.ssrc:
            self._collide(ssrc, now)
        before = self._sources.current
        found = self._sources.switch(ssrc)
        if found is None:
            found = Reception(
                ssrc=ssrc,
                sequence=sequence,
                timestamp=timestamp,
                clock_rate=self._remote.clock_rate,
                now=now,
                probation=1,  # the latch has let it in
            )
            self._sources.add(found)
            event = events.SourceChanged(ssrc=ssrc, before=before.ssrc if before else None)
            self._events.append(event)
        return found

    def _collide(self, ssrc: int, now: float) -> None:
        """The peer sends under our SSRC: by chance once, more often it sends back what is ours."""
        if self._collided or self._adopted:
            if not self._looped:
                self._looped = True
                self._events.append(events.Looped(ssrc=ssrc))
            return
        self._collided = True
        self._say_goodbye("SSRC collision", now)
        self.reporter.change_ssrc(self._new_ssrc())
        self._events.append(events.SsrcCollided(ssrc=self.reporter.ssrc, before=ssrc))

    def _drop(self, verdict: Verdict) -> Verdict:
        self._dropped[verdict] = self._dropped.get(verdict, 0) + 1
        return verdict

    def next_event(self) -> Event | None:
        """The oldest event not yet read."""
        return self._events.popleft() if self._events else None

    # What we do

    def packet_sent(self, octets: Octets, now: float) -> None:
        """A packet went out; one that was passed on under another SSRC makes that one ours."""
        _, _, _, timestamp, ssrc = HEADER.unpack_from(octets)
        if ssrc != self.reporter.ssrc:
            self._adopted = True
        self.reporter.sent(ssrc, timestamp, len(octets) - HEADER_OCTETS, now)

    def reoffered(self, remote: Remote, now: float) -> None:
        """A new offer and its answer are agreed on."""
        if remote.clock_rate != self._remote.clock_rate:
            self.reporter.clock_rate = remote.clock_rate
            for reception in self._sources:
                reception.retime(remote.clock_rate)
        self._remote = remote
        self.latch.reoffered(address=remote.address, signalling=remote.signalling, now=now)
        if self._control_latch is None or remote.control is None:
            self._control_latch = self._latch_control(remote, now)
        else:
            self._control_latch.reoffered(
                address=remote.control, signalling=remote.signalling, now=now
            )

    def expect_media(self, now: float) -> None:
        """From now on silence is a fault, as it is at first."""
        self._watched = now

    def expect_silence(self) -> None:
        """The peer is not to send, or need not: on hold, or before the answer."""
        self._watched = inf
        self._timed_out = False

    def discard(self, packets: int) -> None:
        """So many packets were accepted and came too late to be heard."""
        self._discarded += packets

    def leave(self, now: float, reason: str = "") -> None:
        """Say goodbye; nothing is reported from here on, and silence is no fault."""
        self._say_goodbye(reason, now)
        self.reporter.stop()
        self.expect_silence()

    def _say_goodbye(self, reason: str, now: float) -> None:
        if self.reporter.packets and self.config.reports.bandwidth > 0:
            goodbye = Goodbye(ssrcs=(self.reporter.ssrc,), reason=reason)
            self._outbox.append(self.reporter.compound(self._sources, now, goodbye))

    def destination(self) -> Address | None:
        """Where our packets go now; None if none may be sent."""
        return self.latch.destination()

    def control_destination(self) -> Address | None:
        """Where our RTCP goes now; None if none may be sent."""
        return (self._control_latch or self.latch).destination()

    def control_to_send(self) -> list[bytes]:
        """The compounds that are to be sent now, once."""
        compounds = self._outbox
        self._outbox = []
        return compounds

    # Time

    def timer(self) -> float | None:
        """When `handle_timer` wants to be called, at the latest; None for never."""
        due = self.reporter.timer()
        first = min(inf if due is None else due, self._silence_deadline())
        return None if first == inf else first

    def handle_timer(self, now: float) -> None:
        """Do what is due by `now`; harmless when nothing is."""
        fresh = any(each.is_fresh for each in self._sources)
        if self.reporter.is_due(now, 1 if fresh else 0) and self.control_destination():
            self._outbox.append(self.reporter.compound(self._sources, now))
        if self._silence_deadline() <= now:
            self._timed_out = True
            since = max(self._heard, self._watched)
            self._events.append(events.MediaTimedOut(since=since))

    def _silence_deadline(self) -> float:
        if self._timed_out or not self.config.timeout:
            return inf
        return max(self._heard, self._watched) + self.config.timeout

    def _resume(self, now: float) -> None:
        self._timed_out = False
        silence = now - max(self._heard, self._watched)
        self._events.append(events.MediaResumed(silence=silence))

    # What it comes to

    def statistics(self) -> Statistics:
        """Both directions so far."""
        return Statistics(
            received=self._received(),
            sent=self._sent(),
            round_trip=self.reporter.round_trip,
            dropped=dict(self._dropped),
        )

    def _received(self) -> StreamQuality:
        last = self._sources.current
        if last is None:
            return StreamQuality(delay=self._delay())
        totals = self._sources.totals()
        return judge(
            packets=totals.received,
            octets=self._octets,
            lost=totals.missing,
            unheard=totals.missing + self._discarded,
            expected=totals.expected,
            duplicated=totals.duplicated,
            reordered=totals.reordered,
            jitter=last.jitter / last.clock_rate,
            delay=self._delay(),
            codec=self._remote.codec,
        )

    def _sent(self) -> StreamQuality:
        reporter = self.reporter
        block = reporter.heard
        if block is None:
            return StreamQuality(packets=reporter.packets, octets=reporter.octets)
        lost = max(0, block.packets_lost)
        return judge(
            packets=reporter.packets,
            octets=reporter.octets,
            lost=lost,
            unheard=lost,
            expected=reporter.packets,
            jitter=block.jitter / reporter.clock_rate,
            delay=self._delay(),
            codec=self._remote.codec,
        )

    def _delay(self) -> float:
        """One way, from mouth to ear, if both ways take the same time."""
        return (self.reporter.round_trip or 0.0) / 2 + self.config.buffered
