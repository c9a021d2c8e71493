"""Any message, command, failure and pause in any order: nothing breaks, and nothing stays."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from protocols.sip.derive import reply
from protocols.sip.errors import LocalProtocolError
from protocols.sip.events import (
    ClientId,
    RequestReceived,
    Terminated,
)
from protocols.sip.ledger import Limits
from protocols.sip.message import NO_HEADERS
from protocols.sip.transaction import State
from tests.unit.sip.builders import (
    TCP_FLOW,
    TCP_HOP,
    UDP_FLOW,
    UDP_HOP,
    WSS_FLOW,
    Side,
    empty,
    ours,
    party,
    request,
    respond,
    via,
)

MESSAGES = st.one_of(
    st.builds(
        lambda method, branch, tag, cseq: request(
            method,
            vias=(via(branch),),
            to=party("bob", tag),
            cseq=cseq,
        ),
        st.sampled_from(["INVITE", "ACK", "CANCEL", "BYE", "OPTIONS"]),
        st.sampled_from(["", "1", "z9hG4bK", "z9hG4bKa", "z9hG4bKb", "z9hG4bKwe1"]),
        st.sampled_from(["", "t", "tag-we1", "tag-we2"]),
        st.integers(1, 2),
    ),
    st.builds(
        lambda status, method, branch, vias: replace(
            reply(request(method, vias=(via(branch),) * vias), status, tag="b"), method=method
        ),
        st.sampled_from([100, 180, 200, 202, 302, 486, 487, 699]),
        st.sampled_from(["INVITE", "ACK", "CANCEL", "BYE"]),
        st.sampled_from([f"z9hG4bKwe{n}" for n in range(1, 6)]),
        st.integers(0, 2),
    ),
)
STEPS = st.one_of(
    st.tuples(st.just("receive"), MESSAGES, st.sampled_from([UDP_FLOW, TCP_FLOW, WSS_FLOW])),
    st.tuples(
        st.just("request"),
        st.sampled_from(["INVITE", "BYE"]),
        st.sampled_from([UDP_HOP, TCP_HOP, UDP_FLOW]),
    ),
    st.tuples(st.just("respond"), st.integers(1, 12), st.sampled_from([100, 180, 200, 404])),
    st.tuples(st.just("cancel"), st.integers(1, 12), st.none()),
    st.tuples(st.just("fail"), st.sampled_from([UDP_HOP, UDP_FLOW, TCP_FLOW, WSS_FLOW]), st.none()),
    st.tuples(st.just("wait"), st.sampled_from([0.1, 1.0, 33.0]), st.none()),
)


@given(st.lists(STEPS, max_size=40))
def test_whatever_comes_in_any_order_nothing_breaks_and_nothing_stays(steps: list[Any]) -> None:
    side = Side(limits=Limits(servers=4, reserve=1, clients=4))
    seen: dict[int, RequestReceived] = {}
    ended = set()
    for name, what, more in steps:
        try:
            play(side, seen, name, what, more)
        except LocalProtocolError:
            assert name != "receive"
        for event in side.events():
            if isinstance(event, RequestReceived):
                seen[event.server_id] = event
            number = getattr(event, "id", getattr(event, "server_id", 0))
            assert number is None or number not in ended
            if isinstance(event, Terminated):
                ended.add(event.id)
    # Only INVITEs have no end of their own.
    for transaction in list(side.layer._ledger.transactions.values()):
        if transaction.request.method == "INVITE" and transaction.state is State.PROCEEDING:
            side.layer.terminate(transaction.id)
    side.pass_time(100.0)
    assert empty(side)


def play(side: Side, seen: dict[int, RequestReceived], name: str, what: Any, more: Any) -> None:
    match name:
        case "receive":
            side.layer.receive(what, more, side.now)
        case "request":
            side.layer.request(ours(what), more, side.now)
        case "respond" if what in seen:
            respond(side, seen[what], more)
        case "cancel":
            side.layer.cancel(ClientId(what), NO_HEADERS, side.now)
        case "fail":
            side.layer.transport_failed(what, "gone", side.now)
        case "wait":
            side.pass_time(what)
