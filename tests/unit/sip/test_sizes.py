"""Requests over 1,300 octets: TCP first, UDP where that fails, and for how long (§18.1.1)."""

from protocols.sip.sizes import KEPT, Sizes
from protocols.sip.transport import Hop, Transport

UDP = Hop(transport=Transport.UDP, host="192.0.2.1", port=5070, source=("192.0.2.9", 5060))
TCP = Hop(transport=Transport.TCP, host="192.0.2.1", port=5070, source=("192.0.2.9", 5060))
TLS = Hop(transport=Transport.TLS, host="192.0.2.1", port=5070, domain="example.com")


def test_what_fits_goes_where_it_was_meant_to() -> None:
    assert Sizes().hops(UDP, 1300, 0.0) == (UDP,)
    assert Sizes().hops(TCP, 9000, 0.0) == (TCP,)
    assert Sizes().hops(TLS, 9000, 0.0) == (TLS,)


def test_what_does_not_fit_is_tried_over_tcp_at_the_same_place() -> None:
    assert Sizes().hops(UDP, 1301, 0.0) == (TCP, UDP)


def test_a_place_without_tcp_is_remembered_for_some_time() -> None:
    sizes = Sizes(remembered=600.0)
    sizes.fail(TCP, 10.0)
    assert sizes.hops(UDP, 1301, 609.9) == (UDP,)
    assert sizes.hops(UDP, 1301, 610.0) == (TCP, UDP)
    other = Hop(transport=Transport.UDP, host="192.0.2.1", port=5071)
    assert len(sizes.hops(other, 1301, 11.0)) == 2


def test_a_failure_over_udp_says_nothing_of_tcp() -> None:
    sizes = Sizes()
    sizes.fail(UDP, 0.0)
    sizes.fail(TLS, 0.0)
    assert sizes.hops(UDP, 1301, 0.0) == (TCP, UDP)


def test_an_answer_over_tcp_is_news() -> None:
    sizes = Sizes()
    sizes.fail(TCP, 0.0)
    sizes.succeed(UDP)
    assert sizes.hops(UDP, 1301, 1.0) == (UDP,)
    sizes.succeed(TCP)
    assert sizes.hops(UDP, 1301, 1.0) == (TCP, UDP)


def test_not_more_than_so_many_places_are_remembered() -> None:
    sizes = Sizes()
    for port in range(1, KEPT + 2):
        sizes.fail(Hop(transport=Transport.TCP, host="192.0.2.1", port=port), 0.0)
    first, second = (Hop(transport=Transport.UDP, host="192.0.2.1", port=port) for port in (1, 2))
    assert len(sizes.hops(first, 1301, 1.0)) == 2
    assert len(sizes.hops(second, 1301, 1.0)) == 1
