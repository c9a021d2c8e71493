"""What our side of a session wants, and what offer and answer came to, as values.

`LocalMedia` is where a leg receives and by which policy; `MediaPlan` is what a media plane has to
make true for it. Types, keys and parameters differ by direction: `sent` is always what the peer
asked for, `received` what we did.
"""

import ipaddress
from enum import StrEnum
from functools import lru_cache
from typing import Final

import msgspec

from protocols.sdp.crypto import SUITES
from protocols.sdp.description import Direction
from protocols.sdp.errors import LocalProtocolError
from protocols.sdp.formats import PCMA, PCMU, Codec
from protocols.sdp.ice import IceSide

PTIME_MIN: Final = 10
PTIME_MAX: Final = 60


class SrtpPolicy(StrEnum):
    """Whether media are encrypted with keys in the description (RFC 4568).

    ALLOW offers keys over RTP/AVP, which a peer that can't ignores, and takes whatever is offered.
    """

    OFF = "off"
    ALLOW = "allow"
    REQUIRE = "require"


class DtmfMode(StrEnum):
    """How keys are pressed: events of RFC 4733, SIP's INFO, or as sound.

    RFC4733 falls back to sound towards a peer that takes no events; AUTO also listens for keys in
    the sound of such a peer, as INBAND always does.
    """

    RFC4733 = "rfc4733"
    INFO = "info"
    INBAND = "inband"
    AUTO = "auto"

    @property
    def has_events(self) -> bool:
        """Whether telephone-event is offered and taken."""
        return self in (DtmfMode.RFC4733, DtmfMode.AUTO)


class Preference(StrEnum):
    """Whose order of codecs an answer takes."""

    OFFERED = "offered"
    OURS = "ours"


class MediaPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What is spoken with one kind of peer.

    `codecs` are in the order of our preference, COMFORT_NOISE among them if it is wanted;
    telephone-event follows from `dtmf`. An answer names at most `most_codecs` of them: with one,
    a peer can't change codecs in mid-call without an offer. `ptime` and `maxptime` are ms, the
    latter 0 if there is none. `suites` are those of SRTP, in the order in which we offer them.

    Raises `LocalProtocolError` for what can't be written or spoken.
    """

    codecs: tuple[Codec, ...] = (PCMU, PCMA)
    dtmf: DtmfMode = DtmfMode.RFC4733
    preference: Preference = Preference.OFFERED
    most_codecs: int = 1
    ptime: int = 20
    maxptime: int = 0
    rtcp_mux: bool = False
    srtp: SrtpPolicy = SrtpPolicy.OFF
    suites: tuple[str, ...] = ("AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32")

    def __post_init__(self) -> None:
        if not self.codecs or self.most_codecs < 1:
            raise LocalProtocolError("a policy of media needs a codec")
        if len({each.key for each in self.codecs}) < len(self.codecs):
            raise LocalProtocolError("a policy of media names a codec twice")
        if not PTIME_MIN <= self.ptime <= PTIME_MAX:
            raise LocalProtocolError(f"a ptime is {PTIME_MIN} to {PTIME_MAX} ms, not {self.ptime}")
        if self.maxptime and self.maxptime < self.ptime:
            raise LocalProtocolError(f"a maxptime of {self.maxptime} ms is less than the ptime")
        unknown = set(self.suites) - SUITES.keys()
        if unknown or (self.srtp is not SrtpPolicy.OFF and not self.suites):
            raise LocalProtocolError(f"not suites of SRTP: {sorted(unknown)}")


class LocalMedia(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Where a leg receives audio, and what it wants now.

    `address` is an IP address as the peer is to see it, `rtcp_port` 0 for the port above RTP's.
    `direction` is in our eyes: SENDONLY or INACTIVE puts the peer on hold. With `ice` media go
    over ICE and DTLS, as browsers want them, and in no other way.
    """

    address: str
    port: int
    rtcp_port: int = 0
    direction: Direction = Direction.SENDRECV
    policy: MediaPolicy = MediaPolicy()
    ice: IceSide | None = None

    def __post_init__(self) -> None:
        if reach(self.address) is None:
            raise LocalProtocolError(f"not an IP address: {self.address!r}")


class Chosen(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A codec of both sides: `sent` with the peer's payload type, `received` with ours."""

    sent: Codec
    received: Codec


class Srtp(msgspec.Struct, frozen=True, kw_only=True):
    """Keys of a stream, each a master key with its salt behind it."""

    suite: str
    send_key: bytes
    receive_key: bytes

    def __repr__(self) -> str:
        return f"Srtp({self.suite!r})"


class Stream(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One stream of audio that both sides agreed on.

    `slot` counts the m= lines from 0. Addresses are (IP address, port); a remote one is None
    while the peer can't be sent to, as on hold by 0.0.0.0 (RFC 3264 §8.4). `is_private` says that
    the remote address means something only in the peer's network; over ICE there is none here.
    With `rtcp_mux` RTCP goes where RTP does. `direction` is in our eyes. Of `codecs` the first is
    to be sent, each may be received; `events` and `noise` are telephone-event and comfort noise
    for them. `ptime` is that of what we send, in ms.
    """

    slot: int
    local: tuple[str, int]
    local_rtcp: tuple[str, int]
    remote: tuple[str, int] | None
    remote_rtcp: tuple[str, int] | None
    is_private: bool
    rtcp_mux: bool
    direction: Direction
    codecs: tuple[Chosen, ...]
    events: tuple[Chosen, ...] = ()
    noise: tuple[Chosen, ...] = ()
    ptime: int = 20
    srtp: Srtp | None = None


class MediaPlan(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the two sides agreed on; `audio` is None if it is nothing (all m= lines at port 0).

    `ice` is the peer's side, if media go over ICE; its `setup` is the part that it has in the end,
    never left open.
    """

    audio: Stream | None = None
    ice: IceSide | None = None


class Reach(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What an IP address in a description is good for."""

    host: str
    version: int
    is_private: bool
    is_multicast: bool
    is_nowhere: bool


_PRIVATE: Final = tuple(
    ipaddress.ip_network(each)
    for each in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "::/127",
        "fc00::/7",
        "fe80::/10",
    )
)
_LONGEST: Final = 45  # an IPv6 address with an IPv4 one at its end


def reach(text: str) -> Reach | None:
    """What `text` is good for as an address; None if it is no IP address, or one with a scope.

    An IPv4 address mapped into IPv6 counts as what it is.
    """
    return _reach(text) if len(text) <= _LONGEST and "%" not in text else None


@lru_cache(maxsize=1024)
def _reach(text: str) -> Reach | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return Reach(
        host=str(address),
        version=address.version,
        is_private=any(address in each for each in _PRIVATE if each.version == address.version),
        is_multicast=address.is_multicast,
        is_nowhere=address.is_unspecified,
    )
