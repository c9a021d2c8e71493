"""What browsers write beside everybody else: ICE, DTLS, BUNDLE and mid, read and written.

A description has them as attributes, of a medium, of the one that its BUNDLE group goes by, or of
the session (RFC 8839 §5, RFC 8122, RFC 9143). What is read is what can be used: checks go to IP
addresses over UDP, and a name, such as a browser's own of ".local", is looked up by nobody.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from protocols.sdp.description import Attributes, Media, SessionDescription
from protocols.sdp.ice import Fingerprint, IceSide, Setup
from protocols.sdp.media import reach

PROTOCOLS: Final = frozenset(
    f"{below}RTP/{profile}"
    for below in ("UDP/TLS/", "TCP/DTLS/", "")
    for profile in ("SAVPF", "SAVP")
)
"""All that browsers have called it, which mean the same (RFC 8829 §5.1.2)."""

PROTOCOL: Final = "UDP/TLS/RTP/SAVPF"
MOST_CANDIDATES: Final = 32
"""How many of a peer's are taken; the first ones, for nobody has as many addresses."""

_MOST_FINGERPRINTS: Final = 4
_LONGEST: Final = 255  # characters of a candidate
_DIGESTS: Final = {"sha-256": 32, "sha-384": 48, "sha-512": 64}  # octets
_UFRAG: Final = re.compile(r"[A-Za-z0-9+/]{4,256}")
_PASSWORD: Final = re.compile(r"[A-Za-z0-9+/]{22,256}")
_HEX: Final = re.compile(r"[0-9A-F]{2}(?::[0-9A-F]{2})*")
_FOUNDATION: Final = re.compile(r"[A-Za-z0-9+/]{1,32}")
_MID: Final = re.compile(r"[!#$%&'*+.0-9A-Z^_`a-z{|}~-]{1,64}")
_SETUPS: Final = {str(each): each for each in Setup}
_TYPES: Final = frozenset({"host", "srflx", "prflx", "relay"})
_MAX_PRIORITY: Final = 2**32 - 1
_MAX_PORT: Final = 0xFFFF
_STREAM: Final = "trunkline audio"
_NOWHERE: Final = ("0.0.0.0", 9)  # RFC 8829 §4.1.2: what ICE is still to find


def side_of(description: SessionDescription, media: Media) -> IceSide | None:
    """The side of ICE and DTLS that `media`, one of these, is received at; None if it has none."""
    if media.protocol.upper() not in PROTOCOLS:
        return None
    levels = _levels(description, media)
    ufrag = _first(levels, "ice-ufrag")
    password = _first(levels, "ice-pwd")
    setup = _SETUPS.get(_first(levels, "setup", "actpass").strip())
    fingerprints = _fingerprints(levels)
    if not fingerprints or setup is None:
        return None
    if _UFRAG.fullmatch(ufrag) is None or _PASSWORD.fullmatch(password) is None:
        return None
    return IceSide(
        ufrag=ufrag,
        password=password,
        fingerprints=fingerprints,
        candidates=_candidates(levels),
        setup=setup,
    )


def is_webrtc(description: SessionDescription) -> bool:
    """Whether its audio is to go over ICE and DTLS."""
    return any(
        each.port and each.kind == "audio" and side_of(description, each) is not None
        for each in description.media
    )


def answering(theirs: Setup, before: Setup | None) -> Setup:
    """Our part in an answer: that of before where they leave it to us, else to begin."""
    if theirs is Setup.ACTPASS:
        return before or Setup.ACTIVE
    return opposite(theirs)


def opposite(setup: Setup) -> Setup:
    """The part of the other side; who leaves it open in an answer begins (RFC 8842 §5.3)."""
    return Setup.ACTIVE if setup is Setup.PASSIVE else Setup.PASSIVE


def agreed(ours: Media, theirs: Media) -> Setup | None:
    """Our part in the handshake after an exchange of these two; None outside WebRTC."""
    own = setup_of(ours)
    if own is not Setup.ACTPASS:
        return own
    return opposite(setup_of(theirs) or Setup.ACTPASS)


def setup_of(media: Media) -> Setup | None:
    """Who begins, as the medium says; None if it does not."""
    return _SETUPS.get(_first((media.attributes,), "setup").strip())


def mid_of(media: Media) -> str:
    """Its name among the media (RFC 5888); "" if it has none."""
    said = _first((media.attributes,), "mid")
    return said if _MID.fullmatch(said) else ""


def bundle_of(description: SessionDescription) -> tuple[str, ...]:
    """The names of those that share one transport, whose it is first (RFC 9143)."""
    for value in _values((description.attributes,), "group"):
        kind, *mids = value.split()
        if kind.upper() == "BUNDLE":
            return tuple(mids)
    return ()


def attributes_of(side: IceSide, mid: str) -> Attributes:
    """How our side says what it is, in its medium; all of its candidates are there."""
    said: list[tuple[str, str | None]] = [
        ("mid", mid),
        ("msid", _STREAM),
        ("ice-ufrag", side.ufrag),
        ("ice-pwd", side.password),
        *(("fingerprint", f"{each.algorithm} {each.value}") for each in side.fingerprints),
        ("setup", str(side.setup)),
        *(("candidate", each) for each in side.candidates),
        ("end-of-candidates", None),
    ]
    return tuple(said if mid else said[1:])


def bundled(mid: str) -> Attributes:
    """What the session says of it."""
    return (("group", f"BUNDLE {mid}"),)


def default_of(side: IceSide) -> tuple[str, int]:
    """Where m= and c= say that we are: the first candidate, or nowhere yet."""
    for candidate in side.candidates:
        parts = candidate.split()
        if len(parts) > 5 and reach(parts[4]) is not None and parts[5].isdigit():
            return parts[4], int(parts[5])
    return _NOWHERE


def with_setup(side: IceSide, setup: Setup) -> IceSide:
    """The same in another part."""
    return msgspec.structs.replace(side, setup=setup)


def _levels(description: SessionDescription, media: Media) -> tuple[Attributes, ...]:
    """Where what holds for a medium may stand, the nearest first."""
    mids = bundle_of(description)
    if mids and mid_of(media) in mids[1:]:
        for each in description.media:
            if mid_of(each) == mids[0] and each is not media:
                return media.attributes, each.attributes, description.attributes
    return media.attributes, description.attributes


def _values(levels: Iterable[Attributes], wanted: str) -> Iterator[str]:
    for level in levels:
        for name, value in level:
            if name == wanted and value is not None:
                yield value


def _first(levels: Iterable[Attributes], wanted: str, default: str = "") -> str:
    for level in levels:
        for name, value in level:
            if name == wanted and value is not None:
                return value
    return default


def _fingerprints(levels: tuple[Attributes, ...]) -> tuple[Fingerprint, ...]:
    """Those of the nearest level that has any, as far as we know how to check them."""
    for level in levels:
        said = list(_values((level,), "fingerprint"))
        if said:
            read = [found for each in said if (found := _fingerprint(each)) is not None]
            return tuple(read[:_MOST_FINGERPRINTS])
    return ()


def _fingerprint(text: str) -> Fingerprint | None:
    algorithm, _, value = text.strip(" ").partition(" ")
    algorithm, value = algorithm.lower(), value.strip(" ").upper()
    octets = _DIGESTS.get(algorithm)
    if octets is None or len(value) != octets * 3 - 1 or _HEX.fullmatch(value) is None:
        return None
    return Fingerprint(algorithm=algorithm, value=value)


def _candidates(levels: tuple[Attributes, ...]) -> tuple[str, ...]:
    """Those that checks can go to (RFC 8839 §5.1), without what is only for the curious."""
    found: list[str] = []
    for level in levels:
        for each in _values((level,), "candidate"):
            parts = each.split(" ")[:8] if len(each) <= _LONGEST else []
            if _is_usable(parts) and len(found) < MOST_CANDIDATES:
                found.append(" ".join(parts))
        if found:
            break
    return tuple(found)


def _is_usable(parts: list[str]) -> bool:
    if len(parts) < 8 or parts[6] != "typ" or parts[7] not in _TYPES:
        return False
    foundation, component, transport, priority, address, port = parts[:6]
    place = reach(address)
    return (
        _FOUNDATION.fullmatch(foundation) is not None
        and component == "1"
        and transport.lower() == "udp"
        and 0 < _number(priority) <= _MAX_PRIORITY
        and 0 < _number(port) <= _MAX_PORT
        and place is not None
        and not place.is_multicast
        and not place.is_nowhere
    )


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 10 else 0
