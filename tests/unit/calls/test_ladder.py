"""What of the wire is kept, for how long, and how much of it strangers can have kept."""

from gateway.calls.ladder import Ladder
from protocols.sip.codec import encode, read_datagram
from protocols.sip.derive import reply
from protocols.sip.message import Request
from protocols.sip.station import Crossed
from tests.unit.sip.builders import UDP_FLOW, request


def ladder(**bounds: int) -> Ladder:
    return Ladder(
        clock=lambda: 1000.0, steady=lambda: 0.0, local=lambda _: ("192.0.2.1", 5060), **bounds
    )


def came(message: Request) -> Crossed:
    octets = encode(message)
    assert read_datagram(octets) == message
    return Crossed(content=message, way=UDP_FLOW, came=True, at=1.0, octets=octets)


def went(octets: bytes) -> Crossed:
    return Crossed(content=octets, way=UDP_FLOW, came=False, at=2.0, octets=octets)


def invite(call_id: str, body: bytes = b"") -> Request:
    return request(call_id=call_id, body=body)


def test_a_call_that_is_claimed_is_kept_from_its_first_invite() -> None:
    kept = ladder()
    kept.see(came(invite("one")))
    kept.claim("one")
    kept.see(went(encode(reply(invite("one"), 486))))
    kept.see(came(request("ACK", call_id="one")))
    found = kept.take(["one"])
    assert [(each.sent, each.at) for each in found] == [
        (False, 1001.0),
        (False, 1001.0),
        (True, 1002.0),
    ]
    assert len(kept) == 0


def test_what_passed_so_far_is_fetched_once_and_bounded_all_the_same() -> None:
    kept = ladder(messages=3)
    kept.see(came(invite("one")))
    kept.claim("one")
    assert [each.sent for each in kept.fetch(["one", "", "other"])] == [False]
    assert kept.fetch(["one"]) == []
    for status in (180, 200, 200):
        kept.see(went(encode(reply(invite("one"), status))))
    assert [each.octets[:11] for each in kept.take(["one"])] == [b"SIP/2.0 180", b"SIP/2.0 200"]
    assert len(kept) == 0


def test_a_call_of_ours_is_kept_without_a_word() -> None:
    kept = ladder()
    kept.see(went(encode(invite("ours"))))
    kept.see(went(encode(request("OPTIONS", call_id="other"))))
    assert len(kept) == 1
    assert kept.take(["ours"])[0].octets.startswith(b"INVITE ")


def test_what_is_refused_before_a_call_claims_it_is_forgotten() -> None:
    kept = ladder()
    kept.see(came(invite("stranger")))
    kept.see(went(encode(reply(invite("stranger"), 100))))
    assert len(kept) == 1
    kept.see(went(encode(reply(invite("stranger"), 415))))
    kept.see(came(request("ACK", call_id="stranger")))
    assert len(kept) == 0


def test_strangers_have_little_room_and_take_none_of_calls() -> None:
    kept = ladder(unclaimed=10_000)
    kept.see(came(invite("call")))
    kept.claim("call")
    for number in range(100):
        kept.see(came(invite(f"stranger {number}".replace(" ", "-"), b"x" * 1000)))
    assert len(kept) < 12
    for _ in range(100):
        kept.see(came(invite("again", b"x" * 1000)))
    assert len(kept) <= 2  # it took the room of all others, and then its own
    assert kept.take(["call"])


def test_a_call_keeps_so_much() -> None:
    kept = ladder(messages=3)
    kept.see(went(encode(invite("one"))))
    for _ in range(5):
        kept.see(came(request("INFO", call_id="one")))
    assert len(kept.take(["one"])) == 3
    large = ladder(octets=10_000)
    large.see(went(encode(invite("one"))))
    for _ in range(50):
        large.see(came(request("INFO", call_id="one", body=b"x" * 4000)))
    assert len(large.take(["one"])) == 4


def test_the_oldest_call_gives_way() -> None:
    kept = ladder(calls=2)
    for name in ("one", "two", "three"):
        kept.see(came(invite(name)))
        kept.claim(name)
    assert len(kept) == 2
    kept.forget("two")
    assert [bool(kept.take([name])) for name in ("one", "two", "three")] == [False, False, True]
