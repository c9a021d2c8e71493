"""What two sides of a session have in common: the m= line, the codecs, the keys, the address.

All that can part them is judged here, in both directions, and ends in `Common` or `Refused`.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import Final

import msgspec

from protocols.sdp.crypto import Crypto, choose, is_usable
from protocols.sdp.description import Direction, Media, SessionDescription
from protocols.sdp.errors import WarningCode
from protocols.sdp.formats import (
    Codec,
    Params,
    is_events,
    is_noise,
    is_same,
    keys_of,
    params_of_keys,
)
from protocols.sdp.ice import IceSide
from protocols.sdp.media import (
    Chosen,
    LocalMedia,
    MediaPolicy,
    Preference,
    Reach,
    SrtpPolicy,
    reach,
)
from protocols.sdp.webrtc import side_of

AUDIO: Final = "audio"
PLAIN: Final = frozenset({"RTP/AVP", "RTP/AVPF"})
SECURE: Final = frozenset({"RTP/SAVP", "RTP/SAVPF"})


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing came of it: the code of SIP, the one for its header Warning, and why.

    The reason is our own words and nothing of the peer's.
    """

    reason: str
    warning: WarningCode
    status: int = 488


class Common(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What we have in common with a peer's m= line; `ice` is its side, if it goes over ICE."""

    slot: int
    media: Media
    reach: Reach
    codecs: tuple[Chosen, ...]
    events: tuple[Chosen, ...]
    noise: tuple[Chosen, ...]
    crypto: Crypto | None = None
    ice: IceSide | None = None


def find(offered: SessionDescription, local: LocalMedia, before: int) -> Common | Refused | None:
    """The m= line of an offer that becomes our stream of audio; None if it wants nothing.

    `before` is the slot that was it so far, -1 if none was; it stays as long as it can.
    """
    wanted = [slot for slot, each in enumerate(offered.media) if each.port]
    if len(wanted) > 1:
        secure_first = local.policy.srtp is not SrtpPolicy.OFF
        wanted.sort(
            key=lambda slot: (
                slot != before,
                secure_first and offered.media[slot].protocol.upper() not in SECURE,
            )
        )
    said: Refused | None = None
    for slot in wanted:
        found = _judge(offered, slot, local)
        if isinstance(found, Common):
            return found
        # Of several refusals that of audio says most.
        if said is None or said.warning is WarningCode.MEDIA_TYPE:
            said = found
    return said


def find_answered(
    offered: SessionDescription, answered: SessionDescription, slot: int, local: LocalMedia
) -> Common | Refused:
    """What the answer's line `slot`, at no port 0, has in common with ours of that slot."""
    ours, theirs = offered.media[slot], answered.media[slot]
    if theirs.kind != ours.kind:
        return _refused(WarningCode.MEDIA_TYPE, "the answer has another kind of media")
    way = _answered_way(answered, ours, theirs, local)
    if isinstance(way, Refused):
        return way
    codecs, events, noise = _taken(ours.codecs, theirs.codecs, local.ice is not None)
    if not codecs:
        return _refused(WarningCode.MEDIA_FORMAT, "the answer has no codec of the offer")
    return Common(
        slot=slot,
        media=theirs,
        reach=way.reach,
        codecs=codecs,
        events=events,
        noise=noise,
        crypto=way.crypto,
        ice=way.ice,
    )


# Peers of a kind answer the same in each call.
@lru_cache(maxsize=64)
def _taken(
    offered: tuple[Codec, ...], answered: tuple[Codec, ...], over_ice: bool
) -> tuple[tuple[Chosen, ...], tuple[Chosen, ...], tuple[Chosen, ...]]:
    """Codecs of sound, of keys and of noise that are in an answer and in our offer."""
    chosen = [
        Chosen(sent=named, received=mine)
        for each in answered
        for mine in offered
        if is_same(named := _named(each, mine), mine)
    ]
    codecs = tuple(each for each in chosen if is_sound(each.sent))
    events = [each for each in chosen if is_events(each.sent)]
    if over_ice and codecs:
        # Browsers press keys by the clock of what they send.
        rate = codecs[0].sent.clock_rate
        events = [each for each in events if each.sent.clock_rate == rate]
    return codecs, tuple(events), tuple(each for each in chosen if is_noise(each.sent))


def _judge(offered: SessionDescription, slot: int, local: LocalMedia) -> Common | Refused:
    media, policy = offered.media[slot], local.policy
    if media.kind != AUDIO:
        return _refused(WarningCode.MEDIA_TYPE, "only audio is available here")
    way = _over_ice(offered, media) if local.ice else _over_rtp(offered, media, local)
    if isinstance(way, Refused):
        return way
    codecs, events, noise = _spoken(media.codecs, policy, local.ice is not None)
    if not codecs:
        return _refused(WarningCode.MEDIA_FORMAT, "none of the codecs is available here")
    return Common(
        slot=slot,
        media=media,
        reach=way.reach,
        codecs=codecs,
        events=events,
        noise=noise,
        crypto=way.crypto,
        ice=way.ice,
    )


# Phones of a kind offer the same in each call, and each offer is judged twice.
@lru_cache(maxsize=64)
def _spoken(
    offered: tuple[Codec, ...], policy: MediaPolicy, over_ice: bool
) -> tuple[tuple[Chosen, ...], tuple[Chosen, ...], tuple[Chosen, ...]]:
    """Codecs of sound, of keys and of noise that both have."""
    codecs = tuple(islice(_in_common(offered, policy), policy.most_codecs))
    rates = {each.sent.clock_rate for each in codecs}
    events = _events_in_common(offered, policy)
    fitting = tuple(each for each in events if each.sent.clock_rate in rates)
    if not over_ice:
        # Phones offer 8000 beside Opus, and mean it; browsers lose keys of another clock.
        fitting = fitting or events[:1]
    return codecs, fitting, tuple(_noise_in_common(offered, policy, rates))


class _Way(msgspec.Struct, frozen=True, kw_only=True):
    """How media get to the peer."""

    reach: Reach
    crypto: Crypto | None = None
    ice: IceSide | None = None


_BY_CHECKS: Final = Reach(
    host="", version=0, is_private=False, is_multicast=False, is_nowhere=False
)
"""ICE finds where the peer is, whatever c= says."""


def _over_ice(description: SessionDescription, media: Media) -> _Way | Refused:
    side = side_of(description, media)
    if side is None:
        return _refused(WarningCode.TRANSPORT_PROTOCOL, "audio is taken only over ICE and DTLS")
    if not media.rtcp_mux:
        return _refused(WarningCode.TRANSPORT_PROTOCOL, "over ICE rtcp-mux is needed")
    return _Way(reach=_BY_CHECKS, ice=side)


def _over_rtp(offered: SessionDescription, media: Media, local: LocalMedia) -> _Way | Refused:
    policy, protocol = local.policy, media.protocol.upper()
    if protocol not in PLAIN and (protocol not in SECURE or policy.srtp is SrtpPolicy.OFF):
        return _refused(WarningCode.TRANSPORT_PROTOCOL, "audio is not taken over this transport")
    crypto = choose(media.cryptos, policy.suites) if policy.srtp is not SrtpPolicy.OFF else None
    if crypto is None and protocol in SECURE:
        return _refused(WarningCode.MISCELLANEOUS, "no suite of SRTP is common")
    if crypto is None and policy.srtp is SrtpPolicy.REQUIRE:
        return _refused(WarningCode.TRANSPORT_PROTOCOL, "audio is taken only over SRTP")
    place = _reachable(offered, media, local)
    return place if isinstance(place, Refused) else _Way(reach=place, crypto=crypto)


def _answered_way(
    answered: SessionDescription, ours: Media, theirs: Media, local: LocalMedia
) -> _Way | Refused:
    if local.ice is not None:
        return _over_ice(answered, theirs)
    crypto = _answered_crypto(ours, theirs)
    if isinstance(crypto, Refused):
        return crypto
    place = _reachable(answered, theirs, local)
    return place if isinstance(place, Refused) else _Way(reach=place, crypto=crypto)


def _reachable(description: SessionDescription, media: Media, local: LocalMedia) -> Reach | Refused:
    connection = description.connection_of(media)
    if connection is None or connection.network != "IN":
        return _refused(WarningCode.NETWORK_PROTOCOL, "media are sent over the internet only")
    place, own = reach(connection.address.partition("/")[0]), reach(local.address)
    if place is None or own is None:
        return _refused(WarningCode.ADDRESS_FORMAT, "media are sent to IP addresses only")
    if place.is_multicast:
        return _refused(WarningCode.MULTICAST, "media are not sent to multicast addresses")
    if place.version != own.version and not place.is_nowhere:
        return _refused(WarningCode.ADDRESS_FORMAT, f"media are sent over IPv{own.version} here")
    return place


def _in_common(offered: Sequence[Codec], policy: MediaPolicy) -> Iterator[Chosen]:
    """Codecs of sound that both have, the preferred first, each once."""
    ours = [each for each in policy.codecs if is_sound(each)]
    pairs: Iterable[tuple[Codec, Codec]]
    if policy.preference is Preference.OFFERED:
        pairs = ((theirs, mine) for theirs in offered for mine in ours)
    else:
        pairs = ((theirs, mine) for mine in ours for theirs in offered)
    done: set[tuple[str, int, int]] = set()
    for theirs, mine in pairs:
        if is_same(theirs, mine) and theirs.key not in done:
            done.add(theirs.key)
            yield _chosen(theirs, mine.params)


def _events_in_common(offered: Sequence[Codec], policy: MediaPolicy) -> tuple[Chosen, ...]:
    """One telephone-event for each clock rate (RFC 4733 §2.1)."""
    if not policy.dtmf.has_events:
        return ()
    found: dict[int, Chosen] = {}
    for each in offered:
        if is_events(each) and each.clock_rate not in found and (keys := keys_of(each)):
            found[each.clock_rate] = _chosen(each, params_of_keys(keys))
    return tuple(found.values())


def _noise_in_common(
    offered: Sequence[Codec], policy: MediaPolicy, rates: set[int]
) -> Iterator[Chosen]:
    for mine in policy.codecs:
        if is_noise(mine) and mine.clock_rate in rates:
            yield from [_chosen(each, mine.params) for each in offered if is_same(each, mine)][:1]


def _chosen(theirs: Codec, params: Params) -> Chosen:
    """An answer's codec: the offer's payload type (RFC 3264 §6.1) with our own parameters."""
    return Chosen(sent=theirs, received=msgspec.structs.replace(theirs, params=params))


def is_sound(codec: Codec) -> bool:
    return not is_events(codec) and not is_noise(codec)


def _named(codec: Codec, mine: Codec) -> Codec:
    """`codec` of an answer, that may have left out what the offer's type means."""
    if codec.name or codec.payload_type != mine.payload_type:
        return codec
    return msgspec.structs.replace(mine, params=codec.params)


def _answered_crypto(ours: Media, theirs: Media) -> Crypto | Refused | None:
    """The peer's key for one of our suites (RFC 4568 §5.1.3); None if nothing is encrypted."""
    offered = {each.tag: each.suite for each in ours.cryptos}
    protocol = theirs.protocol.upper()
    if protocol not in PLAIN and protocol not in SECURE:
        return _refused(WarningCode.TRANSPORT_PROTOCOL, "the answer has another transport")
    if not theirs.cryptos or not offered:
        if protocol in SECURE or ours.protocol.upper() in SECURE:
            return _refused(WarningCode.TRANSPORT_PROTOCOL, "the answer has no key of SRTP")
        return None
    crypto = theirs.cryptos[0]
    if not is_usable(crypto, [offered.get(crypto.tag, "")]):
        return _refused(WarningCode.MISCELLANEOUS, "the answer's SRTP was not offered")
    return crypto


def _refused(warning: WarningCode, reason: str) -> Refused:
    return Refused(reason=reason, warning=warning)


def asked(description: SessionDescription, found: Common) -> Direction:
    """The direction that the peer's line says; 0.0.0.0 wants nothing sent (RFC 3264 §8.4)."""
    said = description.direction_of(found.media)
    return said.within(Direction.SENDONLY) if found.reach.is_nowhere else said
