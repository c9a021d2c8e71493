"""Calls in which both sides do anything at any time, over links that lose, double and reorder.

Whatever happens, both sides end, nothing is left of either, and what they believe fits.
"""

import random
from contextlib import suppress
from typing import Any

import pytest

from protocols.sip import agent_events as events
from protocols.sip.agent_commands import By, Refer, Reliability, Reply, Settings
from protocols.sip.errors import LocalProtocolError
from protocols.sip.message import NameAddr
from protocols.sip.session import State
from protocols.sip.session_offers import Body, Exchange, Pending
from protocols.sip.session_refresh import Refresher, Wish
from protocols.sip.transport import Transport
from protocols.sip.uri import SipUri
from tests.unit.sip.parties import OFFER, Party, Wire, finish, pair

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


def live(seed: int, link: tuple[Transport, float, float, float]) -> tuple[Party, Party]:
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
    wire.after(end, lambda: agree(caller, callee))
    for life in lives:
        wire.after(end + chance.random(), life.party.hang_up)
    wire.after(end + 40.0, caller.hang_up)
    wire.after(end + 40.0, callee.hang_up)
    return caller, callee


@pytest.mark.parametrize("seed", range(100))
@pytest.mark.parametrize("link", LINKS, ids=lambda link: f"{link[0]} {link[1]} {link[2]}")
def test_both_sides_end_and_nothing_is_left(
    seed: int, link: tuple[Transport, float, float, float]
) -> None:
    caller, callee = live(seed, link)
    finish(caller, callee)
    assert len(callee.heard(events.Invited)) <= 1 + len(caller.heard(events.Retried))
    assert len(caller.heard(events.Ended)) == 1
    assert caller.agent.state(caller.session) is State.ENDED
    if link[1] == 0.0:  # nothing gets lost: both know the same
        assert bool(caller.heard(events.Answered) or caller.heard(events.Forked)) is bool(
            callee.heard(events.Confirmed) or callee.heard(events.NeverConfirmed)
        ) or callee.heard(events.HungUp)
