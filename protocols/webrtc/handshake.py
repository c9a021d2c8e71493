"""DTLS for the keys of SRTP (RFC 5764): aiortc's handshake, which leaves the packets to us.

It ends with both sides' keys, and the media go by libsrtp as they do with keys out of SDP. What
is used of aiortc that it does not promise is in this module, and pinned by one test.
"""

import contextlib
from collections.abc import Callable
from typing import Any, Final, Protocol, cast

from aiortc.rtcdtlstransport import (
    RTCCertificate,
    RTCDtlsFingerprint,
    RTCDtlsParameters,
    RTCDtlsTransport,
    State,
)
from OpenSSL import SSL

from protocols.rtp.srtp import Suite, key_length
from protocols.sdp.ice import Fingerprint
from protocols.sdp.media import Srtp

_LABEL: Final = b"EXTRACTOR-dtls_srtp"
_SUITES: Final = {
    b"SRTP_AEAD_AES_256_GCM": Suite.AEAD_AES_256_GCM,
    b"SRTP_AEAD_AES_128_GCM": Suite.AEAD_AES_128_GCM,
    b"SRTP_AES128_CM_SHA1_80": Suite.AES_CM_128_HMAC_SHA1_80,
}
_SALT: Final = {
    Suite.AEAD_AES_256_GCM: 12,
    Suite.AEAD_AES_128_GCM: 12,
    Suite.AES_CM_128_HMAC_SHA1_80: 14,
}
_FLIGHT: Final = 1500  # octets that are written at once


class Carrier(Protocol):
    """What carries DTLS, under the names that aiortc has for it."""

    async def _recv(self) -> bytes:
        """The next datagram; `ConnectionError` when there will be none."""

    async def _send(self, data: bytes) -> None:
        """Send a datagram, if there is where to."""

    def send(self, octets: bytes) -> None:
        """The same at once."""


def fingerprints(certificate: RTCCertificate) -> tuple[Fingerprint, ...]:
    """What a description says of it."""
    return tuple(
        Fingerprint(algorithm=each.algorithm, value=each.value)
        for each in certificate.getFingerprints()
        if each.algorithm == "sha-256"
    )


class Handshake(RTCDtlsTransport):
    """One association; `keys` when it is made, `closed` is called when its peer ends it."""

    def __init__(
        self,
        carrier: Carrier,
        certificate: RTCCertificate,
        *,
        begins: bool,
        closed: Callable[[], None],
    ) -> None:
        super().__init__(cast(Any, carrier), [certificate])
        self.keys: Srtp | None = None
        self._carrier = carrier
        self._closed = closed
        self._set_role("client" if begins else "server")

    async def shake(self, peer: tuple[Fingerprint, ...]) -> None:
        """Make it with whoever has a certificate of these fingerprints; see `keys`."""
        told = [RTCDtlsFingerprint(algorithm=each.algorithm, value=each.value) for each in peer]
        await self.start(RTCDtlsParameters(fingerprints=told))

    def _setup_srtp(self) -> None:
        """Take the keys out (RFC 5764 §4.2): both sides', and then both sides' salts."""
        assert self._ssl is not None, "the handshake is done"
        suite = _SUITES.get(self._ssl.get_selected_srtp_profile())
        if suite is None:
            self._set_state(State.FAILED)
            return
        salt = _SALT[suite]
        size = key_length(suite) - salt
        found = self._ssl.export_keying_material(_LABEL, 2 * (size + salt))
        client, server = (
            found[side * size :][:size] + found[2 * size + side * salt :][:salt] for side in (0, 1)
        )
        ours, theirs = (server, client) if self._role == "server" else (client, server)
        self.keys = Srtp(suite=suite, send_key=ours, receive_key=theirs)

    def _set_state(self, state: State) -> None:
        was_up = self._state is State.CONNECTED
        super()._set_state(state)
        if was_up and state is State.CLOSED:
            self._closed()

    def end(self) -> None:
        """Tell the peer, and be no more; what runs ends with the loop's next turn."""
        self._closed = lambda: None
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if self._ssl is not None and self._state in (State.CONNECTING, State.CONNECTED):
            with contextlib.suppress(SSL.Error):
                self._ssl.shutdown()
            with contextlib.suppress(SSL.Error):
                self._carrier.send(self._ssl.bio_read(_FLIGHT))
