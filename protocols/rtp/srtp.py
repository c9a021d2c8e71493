"""SRTP and SRTCP with keys that SDP carried (RFC 3711, RFC 4568, RFC 7714), by libsrtp.

Each direction of a stream has its own key. Nothing here raises for what a packet holds: it comes
out as octets, or as the `Refusal` that says why not, and is counted. libsrtp keeps the rollover
counter and the replay window of each SSRC; how many SSRCs one key may bring is bounded here.

What libsrtp's Python face has not got is not here: the suites of AES_192 and AES_256_CM
(RFC 6188) and MKIs.
"""

from enum import StrEnum
from typing import Final

import msgspec
from pylibsrtp import Error, Policy, Session

from protocols.rtp.errors import LocalProtocolError

MOST_SOURCES: Final = 16
"""SSRCs that one receiver keeps state for; packets of any other are refused."""

REPLAY_WINDOW: Final = 1024
"""Packets behind the newest that may still come, once (RFC 3711 §3.3.2 asks for 64)."""

_RTP_HEADER: Final = 12
_RTCP_HEADER: Final = 8
_BUFFER: Final = 1500  # octets that pylibsrtp has room for


class Suite(StrEnum):
    """As `a=crypto` writes it (RFC 4568 §6.2, RFC 7714 §14.1)."""

    AES_CM_128_HMAC_SHA1_80 = "AES_CM_128_HMAC_SHA1_80"
    AES_CM_128_HMAC_SHA1_32 = "AES_CM_128_HMAC_SHA1_32"
    AEAD_AES_128_GCM = "AEAD_AES_128_GCM"
    AEAD_AES_256_GCM = "AEAD_AES_256_GCM"


class _Shape(msgspec.Struct, frozen=True):
    profile: int
    key: int  # octets of the master key
    salt: int  # and of the master salt after it


_SHAPES: Final = {
    Suite.AES_CM_128_HMAC_SHA1_80: _Shape(Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 16, 14),
    Suite.AES_CM_128_HMAC_SHA1_32: _Shape(Policy.SRTP_PROFILE_AES128_CM_SHA1_32, 16, 14),
    Suite.AEAD_AES_128_GCM: _Shape(Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 16, 12),
    Suite.AEAD_AES_256_GCM: _Shape(Policy.SRTP_PROFILE_AEAD_AES_256_GCM, 32, 12),
}


class Refusal(StrEnum):
    """Why a packet went no further."""

    TOO_SHORT = "too short"
    TOO_LONG = "too long"
    AUTHENTICATION = "authentication"
    REPLAYED = "replayed"
    TOO_OLD = "too old"
    TOO_MANY_SOURCES = "too many sources"
    KEY_USED_UP = "key used up"
    UNREADABLE = "unreadable"
    NO_KEY = "no key yet"


# What libsrtp calls its errors, in the words of pylibsrtp.
_REFUSALS: Final = {
    "authentication failure": Refusal.AUTHENTICATION,
    "replay check failed (bad index)": Refusal.REPLAYED,
    "replay check failed (index too old)": Refusal.TOO_OLD,
    "packet index is too old to consider": Refusal.TOO_OLD,
    "can't use key any more": Refusal.KEY_USED_UP,
}


def key_length(suite: Suite) -> int:
    """Octets of the master key and the master salt together, as `inline:` carries them."""
    shape = _SHAPES[suite]
    return shape.key + shape.salt


def _session(suite: Suite, key: bytes, kind: int) -> Session:
    if len(key) != key_length(suite):
        raise LocalProtocolError(
            f"{suite} takes {key_length(suite)} octets of key and salt, not {len(key)}"
        )
    policy = Policy(key=key, ssrc_type=kind, srtp_profile=_SHAPES[suite].profile)
    policy.window_size = REPLAY_WINDOW
    return Session(policy)


class _Direction:
    """What sending and receiving share: the session, and the count of what was refused."""

    def __init__(self, suite: Suite, key: bytes, kind: int) -> None:
        self.suite = suite
        self.refused: dict[Refusal, int] = dict.fromkeys(Refusal, 0)
        """How many packets, RTP and RTCP, were refused for which reason."""
        self._session = _session(suite, key, kind)

    def _refuse(self, reason: Refusal) -> Refusal:
        self.refused[reason] += 1
        return reason

    def _refuse_for(self, error: Error) -> Refusal:
        return self._refuse(_REFUSALS.get(str(error), Refusal.UNREADABLE))


class SrtpSender(_Direction):
    """Protects what goes out under our key: `key` is the master key and salt, `key_length` octets.

    `LocalProtocolError` if it is of another length.
    """

    def __init__(self, suite: Suite, key: bytes) -> None:
        super().__init__(suite, key, Policy.SSRC_ANY_OUTBOUND)

    def protect(self, packet: bytes) -> bytes | Refusal:
        """An RTP packet as SRTP; a sequence number that has been is refused."""
        if len(packet) < _RTP_HEADER:
            return self._refuse(Refusal.TOO_SHORT)
        try:
            return self._session.protect(packet)
        except ValueError:
            return self._refuse(Refusal.TOO_LONG)
        except Error as error:
            return self._refuse_for(error)

    def protect_rtcp(self, packet: bytes) -> bytes | Refusal:
        """An RTCP packet, compound or not, as SRTCP."""
        if len(packet) < _RTCP_HEADER:
            return self._refuse(Refusal.TOO_SHORT)
        try:
            return self._session.protect_rtcp(packet)
        except ValueError:
            return self._refuse(Refusal.TOO_LONG)
        except Error as error:
            return self._refuse_for(error)


class SrtpReceiver(_Direction):
    """Opens what comes in under the peer's key: master key and salt, `key_length` octets.

    `LocalProtocolError` if it is of another length. A stranger's packet changes nothing: state
    for an SSRC comes into being only by a packet that the key made.
    """

    def __init__(self, suite: Suite, key: bytes) -> None:
        super().__init__(suite, key, Policy.SSRC_ANY_INBOUND)
        self._sources: set[bytes] = set()

    def unprotect(self, packet: bytes) -> bytes | Refusal:
        """The RTP packet in an SRTP packet, once."""
        size = len(packet)
        if not _RTP_HEADER <= size <= _BUFFER:
            return self._refuse(Refusal.TOO_SHORT if size < _RTP_HEADER else Refusal.TOO_LONG)
        source = packet[8:12]
        known = source in self._sources
        if not known and len(self._sources) >= MOST_SOURCES:
            return self._refuse(Refusal.TOO_MANY_SOURCES)
        try:
            opened = self._session.unprotect(packet)
        except Error as error:
            return self._refuse_for(error)
        if not known:
            self._sources.add(source)
        return opened

    def unprotect_rtcp(self, packet: bytes) -> bytes | Refusal:
        """The RTCP packet in an SRTCP packet, once."""
        size = len(packet)
        if not _RTCP_HEADER <= size <= _BUFFER:
            return self._refuse(Refusal.TOO_SHORT if size < _RTCP_HEADER else Refusal.TOO_LONG)
        source = packet[4:8]
        known = source in self._sources
        if not known and len(self._sources) >= MOST_SOURCES:
            return self._refuse(Refusal.TOO_MANY_SOURCES)
        try:
            opened = self._session.unprotect_rtcp(packet)
        except Error as error:
            return self._refuse_for(error)
        if not known:
            self._sources.add(source)
        return opened


class Unkeyed:
    """Stands for a receiver until there is a key: nothing passes."""

    def unprotect(self, packet: bytes) -> Refusal:
        """Refused."""
        return Refusal.NO_KEY

    def unprotect_rtcp(self, packet: bytes) -> Refusal:
        """Refused."""
        return Refusal.NO_KEY
