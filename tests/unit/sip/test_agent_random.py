"""Calls in which both sides do anything at any time, over links that lose, double and reorder.

Whatever happens, both sides end, nothing is left of either, and what they believe fits.
"""

import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from msgspec.structs import replace

from protocols.sip import agent_events as events
from protocols.sip.agent_commands import INSIDE, OUTSIDE, By, Refer, Reliability, Reply, Settings
from protocols.sip.codec import Malformed, encode, read_datagram
from protocols.sip.errors import LocalProtocolError
from protocols.sip.message import Headers, NameAddr, Response
from protocols.sip.session import State
from protocols.sip.session_offers import Body, Exchange, Pending
from protocols.sip.session_refresh import Refresher, Wish
from protocols.sip.transport import Transport
from protocols.sip.uri import OtherUri, SipUri
from tests.floods import each
from tests.unit.sip.parties import OFFER, Party, Wire, finish, pair

METHODS = (*INSIDE, *sorted(OUTSIDE), "SUBSCRIBE", "invite")
HEADERS = {
    "Require": ("100rel", "timer, 100rel", "x", ","),
    "Supported": ("100rel, timer", "timer", "\u00e9"),
    "RSeq": ("1", "2", "4294967295", "0", "x"),
    "RAck": ("1 1 INVITE", "2 1 INVITE", "4294967295 1 INVITE", "1"),
    "Session-Expires": ("90;refresher=uac", "89", "0", "4294967295", "90;refresher=x"),
    "Min-SE": ("90", "4294967295", "x"),
    "Retry-After": ("0", "4294967295", "x"),
    "Event": ("refer", "refer;id=2", "x"),
    "Subscription-State": ("active", "terminated", ";"),
    "Refer-To": ("<sip:a@b>", "<sip:a@b?Replaces=a%3Bto-tag%3Db%3Bfrom-tag%3Dc>", "x"),
    "Replaces": ("a;to-tag=b;from-tag=c", "x"),
    "Allow": ("UPDATE", "INVITE", ",,"),
    "Accept": ("application/sdp", "text/plain", "x"),
    "Content-Type": ("application/sdp", "message/sipfrag", "text/plain", "x"),
    "Content-Disposition": ("session", "render;handling=optional", ";"),
    "Content-Encoding": ("gzip",),
    "WWW-Authenticate": ('Digest realm="a", nonce="b"', "x"),
    "Proxy-Authenticate": ('Digest realm="a", nonce="b", qop="auth"',),
}

LINKS = [
    # transport, loss, doubled, spread
    (Transport.TCP, 0.0, 0.0, 0.0),
    (Transport.UDP, 0.0, 0.0, 0.0),
    (Transport.UDP, 0.0, 0.5, 0.5),
    (Transport.UDP, 0.1, 0.1, 0.3),
    (Transport.UDP, 0.3, 0.2, 1.0),
]


class Life:
    """One party that acts by chance."""

    def __init__(self, party: Party, chance: random.Random) -> None:
        self.party, self.chance = party, chance
        self.number = 0
        reactions: dict[type[Any], Any] = {
            events.Invited: self.ring,
            events.Progressed: self.hear,
            events.Answered: self.hear,
            events.OfferReceived: self.judge,
            events.OfferWanted: self.judge,
            events.Referred: self.transfer,
            events.InfoReceived: self.inform,
        }
        party.reactions = {
            kind: (lambda me, event, react=react: react(event)) for kind, react in reactions.items()
        }

    def body(self) -> Body:
        self.number += 1
        return Body(octets=f"{self.party.host} {self.number}".encode())

    def soon(self, act: Any, longest: float = 2.0) -> None:
        def run() -> None:
            with suppress(LocalProtocolError):  # refused for good reason, and nothing changed
                act()
            self.party.settle()

        self.party.wire.after(self.chance.choice((0.0, self.chance.random() * longest)), run)

    def ring(self, event: events.Invited) -> None:
        party, chance = self.party, self.chance
        for _ in range(chance.randrange(4)):
            body = self.body() if chance.random() < 0.5 else None
            status, reliable = chance.choice((180, 183)), chance.choice(list(Reliability))
            self.soon(lambda b=body, s=status, r=reliable: party.ring(s, body=b, reliable=r))
        self.soon(lambda: party.accept(self.body()), 6.0)
        if chance.random() < 0.3:
            self.soon(lambda: party.refuse(486), 6.0)

    def hear(self, event: Any) -> None:
        if event.exchange is Exchange.OFFER:
            self.soon(lambda: self.party.answer(self.body(), fork=event.fork))

    def judge(self, event: Any) -> None:
        party = self.party
        if self.chance.random() < 0.2:
            self.soon(lambda: party.do("refuse_offer", fork=event.fork))
        elif self.chance.random() < 0.9:
            self.soon(lambda: party.answer(self.body(), fork=event.fork))

    def transfer(self, event: events.Referred) -> None:
        agent, wire = self.party.agent, self.party.wire
        status = self.chance.choice((202, 202, 603))
        self.soon(lambda: agent.answer_refer(event.transfer, Reply(status=status), wire.now))
        for status in (180, self.chance.choice((200, 486))):
            self.soon(lambda s=status: agent.notify(event.transfer, Reply(status=s), wire.now), 5.0)

    def inform(self, event: events.InfoReceived) -> None:
        agent, wire = self.party.agent, self.party.wire
        self.soon(lambda: agent.respond(event.key, Reply(status=200), wire.now))

    def act(self) -> None:
        """Do something to the call, or to what is left of it."""
        party = self.party
        self.chance.choice(
            (
                lambda: party.offer(self.body(), by=self.chance.choice(list(By))),
                lambda: party.offer(None),
                lambda: party.agent.info(party.session, self.body(), party.now),
                lambda: party.do("refer", Refer(refer_to=NameAddr(uri=SipUri(host="x")))),
                party.hang_up,
            )
        )()


def agree(caller: Party, callee: Party) -> None:
    """When nothing is under way each side has what the other said last."""
    ours = caller.agent._host.sessions.get(caller.session)
    theirs = callee.agent._host.sessions.get(callee.session)
    if ours is None or theirs is None or ours.fork is None or theirs.fork is None:
        return
    one, other = ours.fork.offers, theirs.fork.offers
    if one.pending is other.pending is Pending.NOTHING and one.complete and other.complete:
        assert (one.local, one.remote) == (other.remote, other.local)


Check = Callable[[Party, Party], None]


def live(
    seed: int, link: tuple[Transport, float, float, float], check: Check
) -> tuple[Party, Party]:
    chance = random.Random(f"{seed} {link}")
    transport, loss, doubled, spread = link
    wire = Wire(seed, transport=transport, loss=loss, doubled=doubled, spread=spread)
    settings = [
        Settings(
            refresh=Wish(
                seconds=chance.choice((90, 120, 1800)),
                minimum=chance.choice((90, 90, 100)),
                refresher=chance.choice((None, *Refresher)),
            )
        )
        for _ in range(2)
    ]
    caller, callee = pair(wire, caller=settings[0], callee=settings[1])
    lives = [Life(caller, chance), Life(callee, chance)]
    caller.call(
        callee,
        body=chance.choice((OFFER, OFFER, None)),
        reliable=chance.choice(list(Reliability)),
    )
    for _ in range(chance.randrange(12)):
        life = chance.choice(lives)
        wire.after(chance.random() * 20.0, lambda life=life: life.soon(life.act, 0.0))
    end = chance.choice((0.0, 1.0, 5.0, 25.0, 400.0))
    wire.after(end, lambda: check(caller, callee))
    for life in lives:
        wire.after(end + chance.random(), life.party.hang_up)
    wire.after(end + 40.0, caller.hang_up)
    wire.after(end + 40.0, callee.hang_up)
    return caller, callee


@pytest.mark.parametrize("link", LINKS, ids=lambda link: f"{link[0]} {link[1]} {link[2]}")
@each("seed", range(100))
def test_both_sides_end_and_nothing_is_left(
    seed: int, link: tuple[Transport, float, float, float]
) -> None:
    caller, callee = live(seed, link, agree)
    finish(caller, callee)
    assert len(callee.heard(events.Invited)) <= 1 + len(caller.heard(events.Retried))
    assert len(caller.heard(events.Ended)) == 1
    assert caller.agent.state(caller.session) is State.ENDED
    if link[1] == 0.0:  # nothing gets lost: both know the same
        assert bool(caller.heard(events.Answered) or caller.heard(events.Forked)) is bool(
            callee.heard(events.Confirmed) or callee.heard(events.NeverConfirmed)
        ) or callee.heard(events.HungUp)


# Peers that keep to no rule


def twisted(message: Any, chance: random.Random) -> Any:
    """Something like `message`, as nobody would have said it."""
    changes: dict[str, Any] = {}
    headers = dict(message.headers)
    for name in chance.sample(sorted(HEADERS), chance.randrange(5)):
        headers[name] = chance.choice(HEADERS[name])
    changes["headers"] = Headers(headers.items())
    if chance.random() < 0.5:
        changes["cseq"] = max(0, message.cseq + chance.choice((-1, 0, 1, 1, 2, 900)))
    if chance.random() < 0.7:
        branch = ("branch", f"z9hG4bK-{chance.random()}")
        changes["vias"] = (replace(message.vias[0], params=(branch,)), *message.vias[1:])
    for side in ("from_", "to"):
        if chance.random() < 0.2:
            tag = chance.choice(((), (("tag", f"{chance.randrange(3)}"),)))
            changes[side] = replace(getattr(message, side), params=tag)
    if chance.random() < 0.3:
        uri = chance.choice((SipUri(host="x"), OtherUri(scheme="mailto", rest="a@b")))
        changes["contacts"] = chance.choice(((), (NameAddr(uri=uri),), (NameAddr(uri=uri),) * 2))
    if chance.random() < 0.3:
        changes["body"] = chance.choice((b"", b"v=0", b"SIP/2.0 200 OK", bytes(range(256))))
    if chance.random() < 0.2:
        changes["record_routes"] = (NameAddr(uri=SipUri(host="strict")),)
    if chance.random() < 0.5:
        changes["method"] = chance.choice(METHODS)
    if isinstance(message, Response) and chance.random() < 0.5:
        changes["status"] = chance.choice(
            (100, 180, 183, 199, 200, 202, 302, 401, 407, 408, 422, 481, 487, 488, 491, 500, 603)
        )
    return replace(message, **changes)


def disturb(caller: Party, callee: Party, chance: random.Random) -> None:
    """Let one of them hear what nobody said."""
    log = caller.wire.log
    if not log:
        return
    _, to, message = chance.choice(log[-12:])
    heard = caller if to == caller.host else callee
    other = callee if heard is caller else caller
    with suppress(LocalProtocolError):  # it can't be written
        octets = encode(twisted(message, chance))
        if not isinstance(read_datagram(octets), Malformed):
            heard.receive(octets, other.host)


@each("seed", range(200))
def test_peers_that_keep_to_no_rule_leave_nothing_behind(seed: int) -> None:
    chance = random.Random(seed)
    caller, callee = live(seed, LINKS[seed % len(LINKS)], lambda *_: None)
    wire = caller.wire
    for _ in range(60):
        wire.after(chance.random() * 30.0, lambda: disturb(caller, callee, chance))

    def end() -> None:
        for party in (caller, callee):
            for invited in party.heard(events.Invited):
                party.agent.hang_up(invited.session, party.now)
            party.hang_up()

    for seconds in (600.0, 640.0, 700.0):  # after the ACKs that some wait for
        wire.after(seconds, end)
    finish(caller, callee)
