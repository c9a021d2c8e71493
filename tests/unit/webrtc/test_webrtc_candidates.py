"""Which of a peer's candidates are checked, whatever it writes."""

import pytest

from protocols.webrtc.candidates import MOST, ours, usable

HERE = "198.51.100.4"


def line(
    host: str = "203.0.113.9", port: str = "5000", transport: str = "udp", rest: str = "typ host"
) -> str:
    return f"1 1 {transport} 2130706431 {host} {port} {rest}"


def test_ours_is_written_as_descriptions_have_it() -> None:
    (kept,) = usable([ours("198.51.100.4", 20_000).to_sdp()], HERE)
    assert (kept.host, kept.port, kept.type, kept.component) == ("198.51.100.4", 20_000, "host", 1)


@pytest.mark.parametrize("kind", ["typ host", "typ srflx raddr 10.0.0.1 rport 9", "typ relay"])
def test_what_can_be_sent_to_is_kept(kind: str) -> None:
    (kept,) = usable([line(rest=kind)], HERE)
    assert (kept.host, kept.port) == ("203.0.113.9", 5000)


@pytest.mark.parametrize(
    "said",
    [
        "",
        "candidate",
        line(host="8f4e5f2a-0b1c-4d9e-9a57-0f2e3f1b8c11.local"),
        line(host="peer.example"),
        line(host="2001:db8::1"),
        line(host="224.0.0.1"),
        line(host="255.255.255.255"),
        line(host="0.0.0.0"),
        line(host="127.0.0.1"),
        line(port="0"),
        line(port="65536"),
        line(port="-1"),
        line(port="x"),
        line(port="9" * 5000),
        line(transport="tcp", rest="typ host tcptype active"),
        line(rest="typ prflx"),
        line(rest="typ"),
        "1 2 udp 2130706431 203.0.113.9 5000 typ host",
        "1 1 udp -5 203.0.113.9 5000 typ host",
        "1 1 udp 99999999999 203.0.113.9 5000 typ host",
    ],
)
def test_what_is_of_no_use_is_passed_over(said: str) -> None:
    assert usable([said], HERE) == []


def test_one_on_the_same_machine_may_be_on_loopback() -> None:
    assert [each.host for each in usable([line(host="127.0.0.1")], "127.0.0.1")] == ["127.0.0.1"]


def test_no_peer_has_us_send_to_hundreds() -> None:
    assert len(usable([line(port=str(port)) for port in range(1000, 1200)], HERE)) == MOST
