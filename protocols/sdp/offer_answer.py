"""Offer and answer (RFC 3264, RFC 6337) as functions: what we write, and what both agreed on.

A session has one stream of audio; every other m= line of a peer is answered with port 0 and keeps
its place. What later descriptions have to keep to (the number of m= lines, what a payload type
means, our keys) is a value, `Past`, that `negotiation` carries from one exchange to the next.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

import msgspec

from protocols.sdp import webrtc
from protocols.sdp.crypto import Crypto, Key, octets_of
from protocols.sdp.description import (
    Attributes,
    Connection,
    Direction,
    Media,
    Origin,
    Rtcp,
    SessionDescription,
)
from protocols.sdp.errors import LocalProtocolError
from protocols.sdp.formats import DYNAMIC, Codec, events, is_same, ptime_within
from protocols.sdp.ice import IceSide, Setup
from protocols.sdp.matching import (
    AUDIO,
    Common,
    Refused,
    asked,
    find,
    find_answered,
    is_sound,
)
from protocols.sdp.media import (
    LocalMedia,
    MediaPlan,
    MediaPolicy,
    Srtp,
    SrtpPolicy,
    Stream,
    reach,
)

Secret = Callable[[int], bytes]  # so many octets that nobody can guess

_EVENTS_TYPE: Final = 101
_MAX_PORT: Final = 0xFFFF


class Answered(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Our answer and what it makes true."""

    description: SessionDescription
    plan: MediaPlan


class Accepted(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the peer's answer makes true."""

    plan: MediaPlan


class Past(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a session has to keep to.

    `lines` are the m= lines of the last description agreed on, `slot` that of audio, -1 before
    there is one; `codecs` what payload types have meant so far; `keys` our (port, suite, octets).
    `setup` is our part in the handshake of DTLS, which stays; None before that and outside WebRTC.
    """

    lines: tuple[Media, ...] = ()
    slot: int = -1
    codecs: tuple[Codec, ...] = ()
    keys: tuple[tuple[int, str, bytes], ...] = ()
    setup: Setup | None = None

    def __repr__(self) -> str:
        return f"Past({len(self.lines)} lines, slot {self.slot})"


NO_PAST: Final = Past()


def offer(
    local: LocalMedia, *, origin: Origin, key: Secret, past: Past = NO_PAST
) -> SessionDescription:
    """What we offer (RFC 3264 §5, §8): m= lines keep their places, those of others at port 0."""
    policy, mid = local.policy, ""
    protocol = "RTP/SAVP" if policy.srtp is SrtpPolicy.REQUIRE else "RTP/AVP"
    cryptos: tuple[Crypto, ...] = ()
    if local.ice is not None:
        protocol, mid = webrtc.PROTOCOL, _our_mid(past)
    elif policy.srtp is not SrtpPolicy.OFF:
        cryptos = _our_cryptos(local, key, past)
    media = _our_media(
        local,
        protocol=protocol,
        codecs=_our_codecs(policy, past.codecs),
        cryptos=cryptos,
        direction=local.direction,
        ptime=policy.ptime,
        rtcp_mux=_muxes(local),
        attributes=_our_attributes(local.ice, Setup.ACTPASS, mid),
    )
    lines = [_declined(each) for each in past.lines]
    if past.slot < 0:
        lines.append(media)
    else:
        lines[past.slot] = media
    return _ours(local, origin, lines, webrtc.bundled(mid) if mid else ())


def refusal(offered: SessionDescription, local: LocalMedia) -> Refused | None:
    """Why `answer` would refuse; None if it would not. The ports of `local` don't matter."""
    found = find(offered, local, NO_PAST.slot)
    return found if isinstance(found, Refused) else None


def answer(
    offered: SessionDescription,
    local: LocalMedia,
    *,
    origin: Origin,
    key: Secret,
    past: Past = NO_PAST,
) -> Answered | Refused:
    """Our answer (RFC 3264 §6): as many m= lines as the offer has, in its order.

    An offer in which nothing is wanted, by no m= line or all at port 0, is answered likewise; one
    of which we can't do anything is refused.
    """
    found = find(offered, local, past.slot)
    if isinstance(found, Refused):
        return found
    if found is None:
        lines = [_declined(each) for each in offered.media]
        return Answered(description=_ours(local, origin, lines), plan=MediaPlan())
    direction = asked(offered, found).reversed.within(local.direction)
    own = _our_crypto(found.crypto, local, key, past)
    taken = (*found.codecs, *found.noise, *found.events)
    mid = webrtc.mid_of(found.media) if local.ice else ""
    setup = webrtc.answering(found.ice.setup, past.setup) if found.ice else Setup.ACTPASS
    ptime = _ptime(found, local.policy.ptime)
    media = _our_media(
        local,
        protocol=found.media.protocol,
        codecs=tuple([each.received for each in taken]),
        cryptos=(own,) if own is not None else (),
        direction=direction,
        ptime=min(ptime, local.policy.maxptime or ptime),
        rtcp_mux=found.media.rtcp_mux and _muxes(local),
        attributes=_our_attributes(local.ice, setup, mid),
    )
    lines = [
        media if slot == found.slot else _declined(each) for slot, each in enumerate(offered.media)
    ]
    srtp = _srtp(own, found.crypto)
    stream = _stream(found, media, local, direction=direction, ptime=ptime, srtp=srtp)
    is_bundled = mid and mid in webrtc.bundle_of(offered)
    ours = _ours(local, origin, lines, webrtc.bundled(mid) if is_bundled else ())
    return Answered(description=ours, plan=MediaPlan(audio=stream, ice=_theirs(found, setup)))


def accept(
    offered: SessionDescription, answered: SessionDescription, local: LocalMedia
) -> Accepted | Refused:
    """What a peer's answer to our offer makes true (RFC 3264 §7).

    m= lines that it left out count as refused. `Refused` says that the answer is none to this
    offer; what to do about it (a BYE, mostly) is the caller's.
    """
    slot = _wanted(offered, -1)
    if slot < 0 or slot >= len(answered.media) or not answered.media[slot].port:
        return Accepted(plan=MediaPlan())
    ours = offered.media[slot]
    found = find_answered(offered, answered, slot, local)
    if isinstance(found, Refused):
        return found
    crypto = found.crypto
    own = next((each for each in ours.cryptos if crypto and each.tag == crypto.tag), None)
    stream = _stream(
        found,
        ours,
        local,
        direction=asked(answered, found).reversed.within(offered.direction_of(ours)),
        ptime=_ptime(found, ours.ptime),
        srtp=_srtp(own, crypto),
    )
    setup = webrtc.opposite(found.ice.setup) if found.ice else Setup.ACTPASS
    return Accepted(plan=MediaPlan(audio=stream, ice=_theirs(found, setup)))


def remember(past: Past, *, ours: SessionDescription, theirs: SessionDescription) -> Past:
    """`past` after an exchange of these two, whoever offered."""
    slot = _wanted(ours, past.slot)
    if not 0 <= slot < len(ours.media) or ours.media[slot].kind != AUDIO:
        return msgspec.structs.replace(past, lines=ours.media, slot=-1)
    own = ours.media[slot]
    known = {each.payload_type: each for each in past.codecs}
    for media in (*theirs.media[slot : slot + 1], own):
        for each in media.codecs:
            if each.name:
                known[each.payload_type] = each
    keys = {suite: octets for port, suite, octets in past.keys if port == own.port}
    keys.update((each.suite, each.keys[0].octets) for each in own.cryptos)
    return Past(
        lines=ours.media,
        slot=slot,
        codecs=tuple(known.values()),
        keys=tuple((own.port, suite, octets) for suite, octets in keys.items()),
        setup=_agreed(own, theirs.media[slot : slot + 1]) or past.setup,
    )


def _wanted(description: SessionDescription, default: int) -> int:
    """The slot of the first m= line that has a port."""
    for slot, each in enumerate(description.media):
        if each.port:
            return slot
    return default


def _agreed(ours: Media, theirs: Sequence[Media]) -> Setup | None:
    return webrtc.agreed(ours, theirs[0]) if theirs and theirs[0].port else None


# Nearly all offers are the first of their session, and there are few policies.
@lru_cache(maxsize=64)
def _our_codecs(policy: MediaPolicy, known: tuple[Codec, ...]) -> tuple[Codec, ...]:
    """What we offer, with types that mean what they meant in this session (RFC 3264 §8.3.2)."""
    wanted = list(policy.codecs)
    if policy.dtmf.has_events:
        rates = dict.fromkeys(each.clock_rate for each in wanted if is_sound(each))
        wanted.extend(events(rate, _EVENTS_TYPE) for rate in rates)
    before = {each.payload_type: each for each in known}
    taken: set[int] = set()
    made: list[Codec] = []
    for codec in wanted:
        number = _type_of(codec, before, taken)
        taken.add(number)
        made.append(msgspec.structs.replace(codec, payload_type=number))
    return tuple(made)


def _type_of(codec: Codec, before: dict[int, Codec], taken: set[int]) -> int:
    for number, meant in before.items():
        if number not in taken and is_same(meant, codec):
            return number
    own = codec.payload_type
    if own not in taken and (own not in before or own not in DYNAMIC):
        return own
    free = [each for each in DYNAMIC if each not in taken]
    if not free:
        raise LocalProtocolError("there are more codecs than dynamic payload types")
    return next((each for each in free if each not in before), free[0])


def _our_cryptos(local: LocalMedia, key: Secret, past: Past) -> tuple[Crypto, ...]:
    return tuple(
        Crypto(tag=tag, suite=suite, keys=(Key(octets=_our_key(local, suite, key, past)),))
        for tag, suite in enumerate(local.policy.suites, 1)
    )


def _our_key(local: LocalMedia, suite: str, key: Secret, past: Past) -> bytes:
    """Our key for this suite: the one of before while the port is that of before."""
    for port, known, octets in past.keys:
        if port == local.port and known == suite:
            return octets
    return key(octets_of(suite))


def _our_crypto(theirs: Crypto | None, local: LocalMedia, key: Secret, past: Past) -> Crypto | None:
    """The answer to the one of an offer that we take: its tag and suite (RFC 4568 §5.1.2)."""
    if theirs is None:
        return None
    octets = _our_key(local, theirs.suite, key, past)
    return Crypto(tag=theirs.tag, suite=theirs.suite, keys=(Key(octets=octets),))


def _srtp(ours: Crypto | None, theirs: Crypto | None) -> Srtp | None:
    if ours is None or theirs is None:
        return None
    send_key, receive_key = ours.keys[0].octets, theirs.keys[0].octets
    return Srtp(suite=theirs.suite, send_key=send_key, receive_key=receive_key)


def _our_media(
    local: LocalMedia,
    *,
    protocol: str,
    codecs: tuple[Codec, ...],
    cryptos: tuple[Crypto, ...],
    direction: Direction,
    ptime: int,
    rtcp_mux: bool,
    attributes: Attributes,
) -> Media:
    own_rtcp = local.rtcp_port not in (0, local.port + 1)
    return Media(
        kind=AUDIO,
        port=local.port,
        protocol=protocol,
        codecs=codecs,
        direction=direction,
        ptime=ptime,
        maxptime=local.policy.maxptime,
        rtcp=Rtcp(port=local.rtcp_port) if own_rtcp else None,
        rtcp_mux=rtcp_mux,
        cryptos=cryptos,
        attributes=attributes,
    )


def _muxes(local: LocalMedia) -> bool:
    return local.policy.rtcp_mux or local.ice is not None


def _our_mid(past: Past) -> str:
    """The name of our medium: that of before, or one that no other has."""
    if past.slot >= 0:
        before = webrtc.mid_of(past.lines[past.slot])
        if before:
            return before
    taken = {webrtc.mid_of(each) for each in past.lines}
    return next(str(number) for number in range(len(taken) + 1) if str(number) not in taken)


def _our_attributes(side: IceSide | None, setup: Setup, mid: str) -> Attributes:
    return () if side is None else webrtc.attributes_of(webrtc.with_setup(side, setup), mid)


def _theirs(found: Common, ours: Setup) -> IceSide | None:
    """The peer's side, in the part that is left for it beside ours."""
    return None if found.ice is None else webrtc.with_setup(found.ice, webrtc.opposite(ours))


def _declined(media: Media) -> Media:
    """The same m= line at port 0, with its name and the one format that the grammar asks for."""
    mid = webrtc.mid_of(media)
    return Media(
        kind=media.kind,
        port=0,
        protocol=media.protocol,
        codecs=media.codecs[:1],
        formats=media.formats[:1],
        attributes=(("mid", mid),) if mid else (),
    )


def _ours(
    local: LocalMedia, origin: Origin, lines: Sequence[Media], attributes: Attributes = ()
) -> SessionDescription:
    own = reach(local.address)
    connection = Connection(
        address=local.address, type="IP6" if own is not None and own.version == 6 else "IP4"
    )
    return SessionDescription(
        origin=msgspec.structs.replace(origin, connection=connection),
        connection=connection,
        media=tuple(lines),
        attributes=attributes,
    )


def _ptime(found: Common, default: int) -> int:
    """What we send in one packet, in ms: what the peer would like, as far as the codec has it."""
    media = found.media
    wanted = media.ptime or default
    if media.maxptime:
        wanted = min(wanted, media.maxptime)
    return ptime_within(found.codecs[0].sent, wanted)


def _stream(
    found: Common,
    ours: Media,
    local: LocalMedia,
    *,
    direction: Direction,
    ptime: int,
    srtp: Srtp | None,
) -> Stream:
    mux = found.media.rtcp_mux and ours.rtcp_mux
    is_reached = found.ice is None and not found.reach.is_nowhere
    remote = (found.reach.host, found.media.port) if is_reached else None
    local_rtcp = local.port if mux else local.rtcp_port or local.port + 1
    return Stream(
        slot=found.slot,
        local=(local.address, local.port),
        local_rtcp=(local.address, local_rtcp),
        remote=remote,
        remote_rtcp=remote if mux or remote is None else _remote_rtcp(found),
        is_private=found.reach.is_private,
        rtcp_mux=mux,
        direction=direction,
        codecs=found.codecs,
        events=found.events,
        noise=found.noise,
        ptime=ptime,
        srtp=srtp,
    )


def _remote_rtcp(found: Common) -> tuple[str, int] | None:
    """RFC 3605 §2.1, or the port above; None if that is none we would send to."""
    rtcp = found.media.rtcp
    if rtcp is None:
        above = found.media.port + 1
        return (found.reach.host, above) if above <= _MAX_PORT else None
    if rtcp.connection is None:
        return found.reach.host, rtcp.port
    place = reach(rtcp.connection.address)
    if place is None or place.is_multicast or place.is_nowhere:
        return None
    return (place.host, rtcp.port) if place.version == found.reach.version else None
