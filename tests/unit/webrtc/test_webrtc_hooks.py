"""What we take of aiortc and aioice that they do not promise.

When this fails with a newer version of them, `protocols/webrtc` is to be looked at, here:
`agent.Agent` is a Connection without sockets, `handshake.Handshake` a transport without packets.
"""

import inspect
from typing import Any

import pytest
from aioice import Connection, stun
from aioice.ice import CandidatePair, StunProtocol
from aiortc import rtcdtlstransport
from aiortc.rtcdtlstransport import RTCCertificate, RTCDtlsTransport, State
from OpenSSL import SSL

from protocols.webrtc.candidates import ours


class Carrier:
    async def _recv(self) -> bytes:
        return b""

    async def _send(self, data: bytes) -> None: ...


def parameters(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)


async def test_an_agent_has_what_ours_sets_and_reads() -> None:
    agent = Connection(ice_controlling=True, local_username="abcd", local_password="x" * 22)
    assert (agent._closing, agent._check_list_done) == (False, False)
    assert (agent._local_candidates_start, agent._local_candidates_end) == (False, False)
    assert (agent._protocols, agent._local_candidates, agent._check_list) == ([], [], [])
    assert (agent._remote_candidates, agent._nominated) == ([], {})
    assert (len(agent._early_checks), agent._query_consent_task) == (0, None)
    assert (agent.stun_server, agent.turn_server) == (None, None)
    assert (agent.ice_controlling, agent.local_username) == (True, "abcd")
    agent._remote_candidates.append(ours("192.0.2.7", 9))
    assert agent._remote_candidates[0]._network_host == "192.0.2.7"


async def test_a_protocol_has_what_ours_sets_and_reads() -> None:
    protocol = StunProtocol(Connection(ice_controlling=True))
    assert protocol.transactions == {}
    sent: list[Any] = []

    class Transport:
        def sendto(self, octets: bytes, address: Any) -> None:
            sent.append(address)

    protocol.connection_made(Transport())  # type: ignore[arg-type]
    protocol.local_candidate = ours("192.0.2.7", 9)
    message = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
    protocol.send_stun(message, ("192.0.2.8", 10))
    assert sent == [("192.0.2.8", 10)]
    pair = CandidatePair(protocol, ours("192.0.2.8", 10))
    assert (pair.component, pair.remote_addr, pair.task) == (1, ("192.0.2.8", 10), None)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (Connection.check_incoming, ["self", "message", "addr", "protocol"]),
        (Connection.check_complete, ["self", "pair"]),
        (Connection.request_received, ["self", "message", "addr", "protocol"]),
        (Connection.query_consent, ["self"]),
        (Connection.add_remote_candidate, ["self", "remote_candidate"]),
        (stun.parse_message, ["data"]),
        (stun.Transaction.response_received, ["self", "message", "addr"]),
        (RTCDtlsTransport.__init__, ["self", "transport", "certificates"]),
        (RTCDtlsTransport.start, ["self", "remoteParameters"]),
        (RTCDtlsTransport._setup_srtp, ["self"]),
        (RTCDtlsTransport._set_state, ["self", "state"]),
        (RTCDtlsTransport._set_role, ["self", "role"]),
    ],
)
def test_what_is_overridden_or_called_takes_what_it_took(
    function: Any, expected: list[str]
) -> None:
    assert parameters(function) == expected


def test_a_handshake_has_what_ours_sets_and_reads() -> None:
    made = RTCDtlsTransport(Carrier(), [RTCCertificate.generateCertificate()])  # type: ignore[arg-type]
    assert (made._state, made._ssl, made._task, made._role) == (State.NEW, None, None, "auto")
    assert made.encrypted is False
    source = inspect.getsource(RTCDtlsTransport)
    assert "self.transport._recv()" in source
    assert "self.transport._send(" in source
    assert "self._setup_srtp()" in source
    for name in ("get_selected_srtp_profile", "export_keying_material", "shutdown", "bio_read"):
        assert callable(getattr(SSL.Connection, name))


def test_the_profiles_are_those_that_we_have_suites_for() -> None:
    assert {each.openssl_profile: (each.key_length, each.salt_length) for each in profiles()} == {
        b"SRTP_AEAD_AES_256_GCM": (32, 12),
        b"SRTP_AEAD_AES_128_GCM": (16, 12),
        b"SRTP_AES128_CM_SHA1_80": (16, 14),
    }


def profiles() -> list[Any]:
    return list(rtcdtlstransport.SRTP_PROFILES)
