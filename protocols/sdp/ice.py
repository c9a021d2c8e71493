"""What one side of a WebRTC session says of its transport in its description, as values.

Our side is made by whoever has the sockets, the peer's is read from its description; a `Setup`
says who begins the DTLS handshake (RFC 8842), a `Fingerprint` which certificate it shows.
"""

from enum import StrEnum

import msgspec


class Setup(StrEnum):
    """Who begins the handshake of DTLS (RFC 4145 §4)."""

    ACTIVE = "active"
    PASSIVE = "passive"
    ACTPASS = "actpass"


class Fingerprint(msgspec.Struct, frozen=True, kw_only=True):
    """Of a certificate (RFC 8122 §5): `algorithm` such as "sha-256", `value` in upper-case hex."""

    algorithm: str
    value: str


class IceSide(msgspec.Struct, frozen=True, kw_only=True):
    """One side's ICE and DTLS (RFC 8445, RFC 8839, RFC 8842).

    `candidates` are the values of `a=candidate:` without that name, in the order of the
    description; a browser may name none, and is found by where its checks come from.
    """

    ufrag: str
    password: str
    fingerprints: tuple[Fingerprint, ...]
    candidates: tuple[str, ...] = ()
    setup: Setup = Setup.ACTPASS

    def __repr__(self) -> str:
        return f"IceSide({self.ufrag!r}, {len(self.candidates)} candidates, {self.setup})"
