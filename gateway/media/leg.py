"""One leg in a worker: its ports, what comes in on them, and who is to hear it.

A packet passes the payload types that were agreed on, then SRTP, then the latch, as the leg's path
to its peer has them; what is left is the peer's, and goes each way that its payload type has.
RTCP ends here: each leg reports for itself. Nothing here waits, and nothing is decoded but for
those who speak no codec of the peer's.
"""

from collections.abc import Callable, Sequence
from math import inf
from typing import Final

import msgspec

from gateway.media import graph, wire
from gateway.media.ear import Ear
from gateway.media.mouth import Mouth
from gateway.media.node import Listener, Sounding, Tools
from gateway.media.outlet import Outlet
from gateway.media.path import Path, PortPath
from gateway.media.routing import Routing
from protocols.rtp import events
from protocols.rtp.dtmf import DigitReceiver
from protocols.rtp.endpoint import PortPair
from protocols.rtp.events import Address
from protocols.rtp.latch import Verdict
from protocols.rtp.packet import (
    HEADER,
    HEADER_OCTETS,
    Kind,
    Malformed,
    kind,
    payload_bounds,
)
from protocols.rtp.reporting import ReporterConfig
from protocols.rtp.session import Remote, Session, SessionConfig
from protocols.rtp.srtp import Refusal, SrtpReceiver, Unkeyed
from protocols.sdp.media import DtmfMode, Stream

VISITED: Final = 1.0  # seconds after which a leg is looked at, whatever its timers say
_ACCEPTED: Final = Verdict.ACCEPTED
_PLAIN: Final = 0x80  # the first octet of a packet with neither CSRCs, extension nor padding


class Leg:
    """A node at work; `due` is when it was asked to be woken and is its waker's."""

    __slots__ = (
        "_call",
        "_connected",
        "_digits",
        "_ear",
        "_hearers",
        "_node",
        "_opener",
        "_path",
        "_path_changed",
        "_routing",
        "_session",
        "_tools",
        "_unusable",
        "_ways",
        "due",
        "id",
        "mouth",
        "outlet",
        "ports",
        "source",
        "stream",
    )

    def __init__(
        self, call: str, node: graph.Leg, ports: PortPair, tools: Tools, now: float
    ) -> None:
        self.id = node.id
        self.ports = ports
        self.due = inf
        self.source: object = None  # whom the peer hears
        self.stream: Stream | None = None  # what was agreed on
        self._call = call
        self._node = msgspec.structs.replace(node, stream=None)
        self._tools = tools
        self._path: Path = _path_of(call, node, ports, tools, self._take_path)
        self._path_changed = False
        self._session = Session(
            SessionConfig(
                reports=ReporterConfig(cname=tools.cname, unix=tools.unix),
                policy=node.latch,
                timeout=node.silence,
            ),
            Remote(address=None, signalling=node.signalling),
            ssrc=tools.ssrc(),
            new_ssrc=tools.ssrc,
            chance=tools.chance,
            now=now,
            aim=self._path.aim,
        )
        self._session.expect_silence()
        self.outlet = Outlet(self._session, ports, tools.chance)
        self._opener: SrtpReceiver | Unkeyed | None = self._path.opener
        self._digits: DigitReceiver | None = None
        self._ear: Ear | None = None
        self._hearers: tuple[Leg, ...] = ()
        self._connected: object = None
        self._routing = Routing(
            ssrc=tools.ssrc,
            wake=lambda due: tools.wake(self, due),
            late=lambda: self._session.discard(1),
        )
        self._ways = self._routing.ways
        self.mouth = Mouth(
            self.outlet,
            ssrc=tools.ssrc,
            wake=lambda due: tools.wake(self, due),
            done=lambda fault: tools.tell(wire.Pressed(call=call, leg=node.id, fault=fault)),
        )
        self._unusable: dict[str, int] = {}
        tools.reader.add(ports.rtp, self._receive)
        tools.reader.add(ports.rtcp, self._receive_control)

    @property
    def place(self) -> wire.Place:
        """Where the peer is to send."""
        return self._path.place

    # What signalling wants

    def update(self, node: graph.Leg, now: float) -> None:
        """Become what the newer graph says; `hear` and `connect` follow once it has a stream."""
        before, self._node = self._node, node
        self._path.become(node)
        self.stream = stream = node.stream
        if stream is None or (before.stream, before.offers) == (stream, node.offers):
            return
        self._session.reoffered(self._path.remote(node, stream), now)
        self.outlet.tune(stream)
        self._watch(now)
        self._use_path()
        self._listen_for_digits(before.stream, stream)
        self._tools.wake(self, self.timer(now))

    def _watch(self, now: float) -> None:
        """Silence is a fault from now on if the peer is to send and can."""
        stream = self.stream
        if stream is not None and stream.direction.receives and self._path.brings(stream):
            self._session.expect_media(now)
        else:
            self._session.expect_silence()

    def _use_path(self) -> None:
        self._opener, self.outlet.sealer = self._path.opener, self._path.sealer

    def _take_path(self) -> None:
        """The path is another, by itself; what takes the time has it at the next look."""
        self._use_path()
        self._path_changed = True
        self._tools.wake(self, 0.0)

    def _listen_for_digits(self, before: Stream | None, stream: Stream) -> None:
        if not stream.events:
            self._digits = None
        elif before is None or before.events != stream.events:
            self._digits = DigitReceiver(clock_rate=stream.events[0].received.clock_rate)

    def hear(self, source: object, sound: Sounding | None, now: float, patience: float) -> None:
        """Let the peer hear a source from now on; `sound` if that one makes its sound itself.

        After `patience` seconds of nothing it hears silence, 0 for at once, infinity for never.
        """
        self.mouth.play(self.stream, sound, now, patience=patience)
        if source is not self.source:
            self.source = source
            self.outlet.turn()

    def connect(self, hearers: Sequence["Leg"], listeners: Sequence[Listener]) -> None:
        """Whoever is to hear the peer from now on: others' peers by their payload types, and who
        takes packets as they are.
        """
        wanted = (self._node, *((each, each._node) for each in hearers), *listeners)
        if wanted == self._connected:
            return
        self._connected = wanted
        stream = self.stream
        if stream is None:
            self._hearers = ()
            self._routing.disconnect()
        else:
            receives = stream.direction.receives
            self._hearers = tuple(hearers) if receives else ()
            taken = listeners if receives else ()
            self._routing.connect(stream, self._hearers, self._press, taken)
        self._ways = self._routing.ways
        self._listen_for_keys()

    def _listen_for_keys(self) -> None:
        """Have an ear for keys in the sound if that is asked, or one who hears them needs it."""
        stream = self.stream
        asked = self._node.listens_for_keys or any(map(_wants_keys, self._hearers))
        if stream is None or not self._sounds_keys or not asked:
            self._ear = None
            return
        if self._ear is None or self._ear.spoken != stream.codecs:
            self._ear = Ear(
                stream.codecs, pressed=self._heard_key, wake=lambda due: self._tools.wake(self, due)
            )
        self._ways = {
            number: self._ear.listening(number, ways) for number, ways in self._ways.items()
        }

    @property
    def dtmf(self) -> DtmfMode:
        """How the peer presses keys and hears them."""
        return self._node.dtmf

    @property
    def _sounds_keys(self) -> bool:
        """Whether the peer's keys are in its sound."""
        if self.dtmf is DtmfMode.AUTO:
            return self.stream is not None and not self.stream.events
        return self.dtmf is DtmfMode.INBAND

    # What the peer does

    def _receive(self, octets: bytes, source: Address, now: float) -> None:
        if len(octets) < HEADER_OCTETS or octets[0] & 0xC0 != 0x80 or 192 <= octets[1] <= 223:
            self._receive_other(octets, source, now)
            return
        ways = self._ways.get(octets[1] & 0x7F)
        if ways is None:
            self._drop(Verdict.UNASKED.value)
            return
        if self._opener is not None:
            opened = self._opener.unprotect(octets)
            if isinstance(opened, Refusal):
                self._drop(f"SRTP: {opened}")
                return
            octets = opened
        if octets[0] != _PLAIN and isinstance(payload_bounds(octets), Malformed):
            self._drop(Verdict.MALFORMED.value)
            return
        verdict = self._session.receive_packet(octets, source, now)
        if verdict is not _ACCEPTED:
            if verdict is not Verdict.LATCHED:
                return
            self._flush(now)
        for way in ways:
            way(octets, now)

    def _receive_other(self, octets: bytes, source: Address, now: float) -> None:
        stream = self.stream
        if stream is not None and stream.rtcp_mux and kind(octets) is Kind.RTCP:
            self._receive_control(octets, source, now)
        elif not self._path.take(octets, source):
            self._drop("no RTP")

    def _receive_control(self, octets: bytes, source: Address, now: float) -> None:
        if self.stream is None:
            self._drop("RTCP before an answer")
            return
        if self._opener is not None:
            opened = self._opener.unprotect_rtcp(octets)
            if isinstance(opened, Refusal):
                self._drop(f"SRTCP: {opened}")
                return
            octets = opened
        if self._session.receive_control(octets, source, now).is_accepted:
            self._flush(now)

    def _press(self, octets: bytes, now: float) -> None:
        bounds = payload_bounds(octets)
        if self._digits is None or isinstance(bounds, Malformed):
            return
        _, _, sequence, timestamp, ssrc = HEADER.unpack_from(octets)
        self._digits.receive(
            octets[bounds[0] : bounds[1]],
            ssrc=ssrc,
            sequence=sequence,
            timestamp=timestamp,
            now=now,
        )
        self._tell_digits(now)

    def _heard_key(self, digit: str, duration: float, now: float) -> None:
        """A key was in the sound, which went on without it."""
        self._tell_key(digit, duration)
        for each in self._hearers:
            if each.dtmf is not DtmfMode.INFO:
                each.mouth.repeat(digit, duration, now)

    def _tell_key(self, digit: str, duration: float) -> None:
        self._tools.tell(
            wire.DigitPressed(call=self._call, leg=self.id, digit=digit, duration=duration)
        )

    def _tell_digits(self, now: float) -> None:
        digits = self._digits
        if digits is None:
            return
        while (event := digits.next_event()) is not None:
            if isinstance(event, events.DigitEnded):
                self._tell_key(event.digit, event.duration)
                for each in self._hearers:
                    if not _wants_keys(each):  # who takes events has had them as they came
                        each.mouth.repeat(event.digit, event.duration, now)
        due = digits.timer()
        if due is not None:
            self._tools.wake(self, due)

    def _drop(self, reason: str) -> None:
        self._unusable[reason] = self._unusable.get(reason, 0) + 1

    # Time

    def timer(self, now: float) -> float:
        """When `handle_timer` wants to be called, at the latest."""
        digits = self._digits.timer() if self._digits is not None else None
        return min(
            now + VISITED,
            self._session.timer() or inf,
            self._routing.timer(),
            self.mouth.timer(),
            inf if digits is None else digits,
            inf if self._ear is None else self._ear.timer(),
        )

    def handle_timer(self, now: float) -> None:
        """Do what is due by `now`; harmless when nothing is."""
        if self._path_changed:
            self._path_changed = False
            self._watch(now)
        self._routing.handle_timer(now)
        self.mouth.handle_timer(now)
        self._session.handle_timer(now)
        if self._ear is not None:
            self._ear.handle_timer(now)
        if self._digits is not None:
            self._digits.handle_timer(now)
            self._tell_digits(now)
        self._flush(now)

    def _flush(self, now: float) -> None:
        """Tell what happened, and send what RTCP has to say."""
        while (event := self._session.next_event()) is not None:
            self._translate(event)
        for compound in self._session.control_to_send():
            self._send_control(compound)

    def _translate(self, event: events.Event) -> None:
        told: wire.Told
        match event:
            case events.Latched(source=source):
                told = wire.Latched(call=self._call, leg=self.id, source=source)
            case events.MediaTimedOut():
                told = wire.FellSilent(call=self._call, leg=self.id)
            case events.MediaResumed(silence=silence):
                told = wire.Resumed(call=self._call, leg=self.id, silence=silence)
            case _:
                return
        self._tools.tell(told)

    def _send_control(self, compound: bytes) -> None:
        destination = self._session.control_destination()
        if destination is None or self.stream is None:
            return
        if self.outlet.sealer is not None:
            sealed = self.outlet.sealer.protect_rtcp(compound)
            if isinstance(sealed, Refusal):
                self.outlet.refused += 1
                return
            compound = sealed
        self._path.send_control(compound, destination)

    # What it comes to

    def readings(self) -> wire.Readings:
        """Both directions so far."""
        found = self._session.statistics()
        dropped = {verdict.value: count for verdict, count in found.dropped.items()}
        for reason, count in self._unusable.items():
            dropped[reason] = dropped.get(reason, 0) + count
        if lost := self.ports.unsent + self.outlet.refused:
            dropped["not sent"] = lost
        return wire.Readings(
            received=found.received,
            sent=found.sent,
            round_trip=found.round_trip,
            dropped=dropped,
        )

    def close(self, now: float) -> None:
        """Say goodbye and release the ports."""
        self._session.leave(now)
        self._flush(now)
        self._path.close()
        for each in (self.ports.rtp, self.ports.rtcp):
            self._tools.reader.remove(each)
        self.ports.close()
        self._tools.tell(wire.LegClosed(call=self._call, leg=self.id, readings=self.readings()))
        self.due = -inf  # nobody is to wake it
        # Its parts refer to it, and it to other legs: it is not to wait for the collector. And who
        # was to wake it has but a shell of it until then.
        self.source, self._hearers, self._ways, self._ear = None, (), {}, None
        self._connected = None
        del self._routing, self.mouth, self._path, self._session, self.outlet


def _path_of(
    call: str, node: graph.Leg, ports: PortPair, tools: Tools, changed: Callable[[], None]
) -> Path:
    """The one that a leg has for good; `changed` is called when it becomes another by itself."""
    if node.webrtc is None:
        return PortPath(ports)
    from gateway.media.web_path import WebPath  # loads what a worker without browsers never needs

    return WebPath(call, node, ports, tools, changed)


def _wants_keys(hearer: Leg) -> bool:
    """Whether keys go to a peer in another way than as sound."""
    events = hearer.stream is not None and hearer.stream.events
    return bool(events) or hearer.dtmf is DtmfMode.INFO
