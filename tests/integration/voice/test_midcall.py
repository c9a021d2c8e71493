"""What happens between INVITE and BYE: holds, other codecs and ports, late offers, and races."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from protocols.rtp import formats, stillness
from protocols.sdp import codec as sdp
from protocols.sdp.description import Direction
from protocols.sdp.formats import PCMA, PCMU, Codec
from protocols.sip import agent_events as events
from protocols.sip.agent_commands import Accept, By, Invite
from protocols.sip.codec import encode
from protocols.sip.message import Headers, NameAddr, Request
from protocols.sip.session_offers import Body, Exchange
from protocols.sip.transport import Transport
from protocols.sip.uri import SipUri
from tests.integration.voice.acts import change, dial, quiet, ring_early, user
from tests.integration.voice.conftest import OpenPhone
from tests.integration.voice.keyed import until
from tests.integration.voice.phones import PATIENCE, Phone, Sound
from tests.integration.voice.raw import Raw, described
from tests.integration.voice.wire import Stream
from tests.integration.voice.world import World, world

DOMAIN = "office.example"
CONFIG = """
[[domains]]
name = "office.example"
voice_url = "{app}/voice"
users = [
  { username = "alice", password = "pa" },
  { username = "bob", password = "pb" },
]
[[carriers]]
name = "acme"
kind = "sip"
uri = "sip:127.0.0.1:{port}"
emergency = []
options_interval = "0s"
[[numbers]]
number = "+15550001000"
voice_url = "{app}/voice"
"""
NUMBER = "+15550001000"
TO_BOB = dial(user("bob"), answerOnBridge="true", action="/after")
TO_PEER = dial("+447700900002", answerOnBridge="true", action="/after")
SILENCE = stillness.payload(formats.PCMU, 20)
G729 = Codec(payload_type=18, name="G729", clock_rate=8000)


@pytest.fixture
async def raw() -> AsyncIterator[Raw]:
    peer = await Raw().open()
    yield peer
    peer.close()


@asynccontextmanager
async def gateway(
    folder: Path, *phones: Phone, twiml: str = TO_BOB, port: int = 9
) -> AsyncIterator[World]:
    """A world with phones registered; nothing is left of it in the end."""
    async with world(folder, CONFIG.replace("{port}", str(port)), twiml) as here:
        for phone in phones:
            await phone.register(here.hop())
        yield here
        await here.ended()
        assert here.ledger() == {}


async def talk(one: Phone, other: Phone) -> None:
    await asyncio.gather(one.sound.hears(other.sound.tone), other.sound.hears(one.sound.tone))


async def join(here: World, alice: Phone, bob: Phone) -> None:
    alice.call("bob", here.hop())
    await alice.until(events.Answered)
    await bob.until(events.Confirmed)
    await talk(alice, bob)


async def codes(here: World) -> list[tuple[str, int]]:
    """Each call's status and code, the first call first."""
    found = [await here.call(each["sid"]) for each in await here.calls()]
    return [(each.status.value, each.sip_code) for each in sorted(found, key=lambda one: one.sid)]


# Holds


@pytest.mark.parametrize("who", ["alice", "bob"])
@pytest.mark.parametrize("by", [By.INVITE, By.UPDATE])
@pytest.mark.parametrize(
    "hold",
    [
        {"direction": Direction.SENDONLY},
        {"direction": Direction.INACTIVE},
        {"address": "0.0.0.0"},
    ],
    ids=["sendonly", "inactive", "0.0.0.0"],
)
async def test_a_hold_and_its_end(
    tmp_path: Path, alice: Phone, bob: Phone, who: str, by: By, hold: dict[str, Any]
) -> None:
    holding, held = (alice, bob) if who == "alice" else (bob, alice)
    async with gateway(tmp_path, alice, bob) as here:
        await join(here, alice, bob)
        answered = await change(holding, by=by, **hold)
        assert isinstance(answered, events.OfferAnswered)
        await quiet(holding)
        before = len(holding.told), len(held.told)
        assert isinstance(await change(holding, by=by), events.OfferAnswered)
        await talk(alice, bob)
        assert len(held.told) == before[1]  # the other side was told nothing
        alice.hang_up()
        await bob.until(events.HungUp)


async def test_who_is_held_by_a_phone_that_sends_nothing_hears_silence(
    tmp_path: Path, alice: Phone, bob: Phone
) -> None:
    async with gateway(tmp_path, alice, bob) as here:
        await join(here, alice, bob)
        answered = await change(alice, direction=Direction.INACTIVE)
        assert isinstance(answered, events.OfferAnswered)
        await until(lambda: set(bob.sound.heard[-20:]) == {SILENCE})
        came = len(bob.sound.heard)
        await until(lambda: len(bob.sound.heard) > came + 20)
        assert isinstance(await change(alice), events.OfferAnswered)
        await talk(alice, bob)
        alice.hang_up()
        await bob.until(events.HungUp)


# Codecs and ports


@pytest.mark.parametrize("by", [By.INVITE, By.UPDATE])
@pytest.mark.parametrize("who", ["alice", "bob"])
async def test_another_codec_in_mid_call(
    tmp_path: Path, alice: Phone, bob: Phone, by: By, who: str
) -> None:
    changing, other = (alice, bob) if who == "alice" else (bob, alice)
    came = asyncio.Event()

    def watch(data: bytes, address: tuple[str, int]) -> None:
        if data[1] & 0x7F == PCMA.payload_type:
            came.set()

    async with gateway(tmp_path, alice, bob) as here:
        await join(here, alice, bob)
        changing.codecs = (PCMA,)
        changing.sound.datagram_received = watch  # type: ignore[method-assign]
        answered = await change(changing, by=by)
        assert isinstance(answered, events.OfferAnswered)
        stream = changing.streams[-1]
        assert stream is not None and [each.sent.name for each in stream.codecs] == ["PCMA"]
        async with asyncio.timeout(PATIENCE):
            await came.wait()
        del changing.sound.datagram_received
        changing.codecs = (PCMU,)
        await change(changing, by=by)
        await talk(alice, bob)
        other.hang_up()
        await changing.until(events.HungUp)
        await here.ended()
        records = [leg for each in await here.calls() for leg in await here.legs(each["sid"])]
        assert [leg.codec_sent for leg in records] == ["PCMU", "PCMU"]


@pytest.mark.parametrize("who", ["alice", "bob"])
async def test_another_port_in_mid_call(tmp_path: Path, alice: Phone, bob: Phone, who: str) -> None:
    moving = alice if who == "alice" else bob
    async with gateway(tmp_path, alice, bob) as here:
        await join(here, alice, bob)
        old, moving.sound = moving.sound, await Sound(moving.sound.tone).open()
        old.close()
        assert isinstance(await change(moving), events.OfferAnswered)
        await talk(alice, bob)
        alice.hang_up()
        await bob.until(events.HungUp)


async def test_an_offer_of_t38_is_refused_and_the_call_goes_on(
    tmp_path: Path, alice: Phone, bob: Phone
) -> None:
    fax = (
        b"v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
        b"m=image 40000 udptl t38\r\na=T38FaxVersion:0\r\n"
    )
    async with gateway(tmp_path, alice, bob) as here:
        await join(here, alice, bob)
        for phone in (alice, bob):
            agent, now = phone.station.agent, phone.station.now()
            agent.offer(phone.session, Body(octets=fax), now, by=By.INVITE)
            phone.station.wake()
            refused = await phone.until(events.OfferRefused)
            assert refused.status == 488
            assert refused.headers.first("Warning")
        await talk(alice, bob)
        bob.hang_up()
        await alice.until(events.HungUp)


async def test_a_caller_with_unknown_codecs_alone_is_told_so(
    tmp_path: Path, alice: Phone, bob: Phone
) -> None:
    alice.codecs = (G729,)
    async with gateway(tmp_path, alice, bob) as here:
        alice.call("bob", here.hop())
        refused = await alice.until(events.Refused)
        assert refused.status == 488
        assert (refused.headers.first("Warning") or "").startswith("305 ")
        assert await here.calls() == []


async def test_a_callee_with_an_unknown_codec_alone_is_let_go(
    tmp_path: Path, alice: Phone, bob: Phone, raw: Raw
) -> None:
    answer = (
        b"v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
        b"m=audio 40000 RTP/AVP 18\r\n"
    )
    async with gateway(tmp_path, alice, twiml=TO_PEER, port=raw.port) as here:
        alice.call("anything", here.hop())
        invite = await raw.asked("INVITE")
        raw.answer(invite, 200, "one", answer)
        await raw.asked("ACK")
        raw.answer(await raw.asked("BYE"), 200)
        form = await here.app.until("/after")
        assert form["DialCallStatus"] == "failed"
        assert (await alice.until(events.Refused)).status >= 400


# Offers elsewhere than in the INVITE


async def test_a_caller_who_wants_our_offer(tmp_path: Path, alice: Phone, bob: Phone) -> None:
    async with gateway(tmp_path, alice, bob) as here:
        await _call_without_offer(alice, here)
        await bob.until(events.Confirmed)
        await talk(alice, bob)
        assert isinstance(await change(alice, direction=Direction.INACTIVE), events.OfferAnswered)
        await quiet(alice)
        assert isinstance(await change(alice), events.OfferAnswered)
        await talk(alice, bob)
        bob.hang_up()
        await alice.until(events.HungUp)


async def _call_without_offer(phone: Phone, here: World) -> None:
    phone._renew()
    agent = phone.station.agent
    to = SipUri(user="bob", host=DOMAIN)
    phone.session = agent.invite(
        Invite(uri=to, from_=phone.aor, to=NameAddr(uri=to)),
        here.hop(),
        phone.station.now(),
        phone.sessions(),
    )
    phone.station.wake()
    answered = await phone.until(events.Answered)
    assert answered.exchange is Exchange.OFFER and answered.body is not None
    phone.negotiation.receive_offer(sdp.read(answered.body.octets))
    ours: Any = phone.negotiation.answer(phone.local)
    phone._begin(ours.plan.audio)
    agent.answer(phone.session, Body(octets=sdp.write(ours.description)), phone.station.now())
    phone.station.wake()


async def test_a_caller_who_wants_our_offer_and_does_not_answer_it_is_let_go(
    tmp_path: Path, bob: Phone, raw: Raw
) -> None:
    async with gateway(tmp_path, bob, port=raw.port) as here:
        hop = here.hop()
        raw.gateway = (hop.host, hop.port)
        invite = raw.request("INVITE", SipUri(user=NUMBER, host="127.0.0.1", port=hop.port))
        raw.say(invite)
        answered = await raw.told()
        assert answered.status == 200 and answered.body
        raw.say(msgspec.structs.replace(invite, method="ACK", to=answered.to))
        raw.answer(await raw.asked("BYE"), 200)
        await bob.until(events.HungUp)


async def test_early_media_by_reliable_responses_and_an_offer_in_update(
    tmp_path: Path, alice: Phone, bob: Phone
) -> None:
    bob.on_call = None
    async with gateway(tmp_path, alice, bob) as here:
        alice.call("bob", here.hop())
        ring_early(bob, await bob.until(events.Invited))
        bob.station.wake()
        early = await alice.until(events.Progressed, where=lambda each: each.response.status == 183)
        assert early.rseq and early.body is not None and early.exchange is Exchange.ANSWER
        await alice.sound.hears(880)
        # Both sides may now offer before there is an answer (RFC 3311).
        alice.sound, old = await Sound(440).open(), alice.sound
        old.close()
        assert isinstance(await change(alice, by=By.UPDATE), events.OfferAnswered)
        await alice.sound.hears(880)
        assert isinstance(await change(bob, by=By.UPDATE), events.OfferAnswered)
        bob.station.agent.accept(bob.session, Accept(), bob.station.now())
        bob.station.wake()
        answered = await alice.until(events.Answered)
        assert answered.exchange is Exchange.NONE
        await talk(alice, bob)
        alice.hang_up()
        await bob.until(events.HungUp)
        await here.ended()
        assert [code for _, code in await codes(here)] == [200, 200]


# Forks


async def test_of_two_answers_the_first_is_the_call(tmp_path: Path, alice: Phone, raw: Raw) -> None:
    sound = await Sound(1300).open()
    async with gateway(tmp_path, alice, twiml=TO_PEER, port=raw.port) as here:
        alice.call("anything", here.hop())
        invite = await raw.asked("INVITE")
        raw.answer(invite, 180, "one")
        raw.answer(invite, 180, "two")
        raw.answer(invite, 200, "two", described(invite.body, sound.port))
        raw.answer(invite, 200, "one", described(invite.body, 9))
        for tag in ("one", "two"):
            await raw.asked("ACK", lambda each, tag=tag: each.to.tag == tag)  # type: ignore[misc]
        bye = await raw.asked("BYE")
        assert bye.to.tag == "one"
        raw.answer(bye, 200)
        await sound.hears(440)
        alice.hang_up()
        bye = await raw.asked("BYE", lambda each: each.to.tag == "two")
        raw.answer(bye, 200)
        await here.ended()
        assert [status for status, _ in await codes(here)] == ["completed", "completed"]
    sound.close()


# Races


@pytest.mark.parametrize("turns", [0, 1, 2, 4, 8, 16])
async def test_the_caller_gives_up_while_the_callee_answers(
    tmp_path: Path, alice: Phone, bob: Phone, turns: int
) -> None:
    bob.on_call = None
    async with gateway(tmp_path, alice, bob) as here:
        alice.call("bob", here.hop())
        invited = await bob.until(events.Invited)
        Phone.ringing(bob, invited)
        bob.station.wake()
        await alice.until(events.Progressed, where=lambda each: each.response.status == 180)
        bob.pick_up(invited)
        bob.station.wake()
        for _ in range(turns):
            await asyncio.sleep(0)
        alice.hang_up()
        await alice.until(events.Ended)
        await bob.until(events.Ended)
        await here.ended()
        for status, code in await codes(here):
            assert (status, code) in [
                ("no-answer", 487),
                ("canceled", 0),
                ("completed", 200),
                ("completed", 487),  # its answer was durable, and not yet sent
            ]


async def test_a_2xx_across_our_cancel_gets_ack_and_bye(
    tmp_path: Path, alice: Phone, raw: Raw
) -> None:
    async with gateway(tmp_path, alice, twiml=TO_PEER, port=raw.port) as here:
        alice.call("anything", here.hop())
        invite = await raw.asked("INVITE")
        raw.answer(invite, 180, "one")
        await alice.until(events.Progressed, where=lambda each: each.response.status == 180)
        alice.hang_up()
        cancel = await raw.asked("CANCEL")
        assert cancel.vias[0].branch == invite.vias[0].branch
        raw.answer(cancel, 200, "one")
        raw.answer(invite, 200, "one", described(invite.body, 9))
        await raw.asked("ACK")
        raw.answer(await raw.asked("BYE"), 200)
        await here.ended()
        assert sorted(status for status, _ in await codes(here)) == ["canceled", "no-answer"]


async def test_the_caller_hangs_up_while_all_devices_ring(
    tmp_path: Path, alice: Phone, bob: Phone, open_phone: OpenPhone
) -> None:
    other = await open_phone("bob", DOMAIN, password="pb")
    bob.on_call = other.on_call = Phone.ringing
    async with gateway(tmp_path, alice, bob, other) as here:
        alice.call("bob", here.hop())
        for phone in (bob, other):
            await phone.until(events.Invited)
        await alice.until(events.Progressed, where=lambda each: each.response.status == 180)
        alice.hang_up()
        for phone in (bob, other):
            await phone.until(events.Cancelled)
        assert (await alice.until(events.Refused)).status == 487
        form = await here.app.until("/after")
        assert (form["DialCallStatus"], form["CallStatus"]) == ("canceled", "no-answer")


async def test_both_hang_up_at_once(tmp_path: Path, alice: Phone, bob: Phone) -> None:
    async with gateway(tmp_path, alice, bob) as here:
        await join(here, alice, bob)
        alice.hang_up()
        bob.hang_up()
        for phone in (alice, bob):
            await phone.until(events.Ended)
        await here.ended()
        assert [status for status, _ in await codes(here)] == ["completed", "completed"]


async def test_both_offer_at_once(tmp_path: Path, alice: Phone, bob: Phone) -> None:
    """We stand between them: neither meets the other's offer."""
    async with gateway(tmp_path, alice, bob) as here:
        await join(here, alice, bob)
        answers = await asyncio.gather(change(alice), change(bob))
        assert all(isinstance(each, events.OfferAnswered) for each in answers)
        await talk(alice, bob)
        alice.hang_up()
        await bob.until(events.HungUp)


async def test_glare_with_our_own_refresh(tmp_path: Path, bob: Phone, raw: Raw) -> None:
    """An offer that meets ours gets 491, in whichever method (RFC 3261 §14.2, RFC 3311 §5.2)."""
    async with gateway(tmp_path, bob, port=raw.port) as here:
        hop = here.hop()
        raw.gateway = (hop.host, hop.port)
        invite = raw.request("INVITE", SipUri(user=NUMBER, host="127.0.0.1", port=hop.port))
        raw.say(invite)  # without an offer: ours is in the 2xx, and waits for its answer in the ACK
        answered = await raw.told()
        again = _inside(raw, invite, answered.to, "UPDATE", 2)
        raw.say(again)
        refused = await raw.until(
            lambda each: not isinstance(each, Request) and each.cseq == 2 and each.status >= 200
        )
        assert not isinstance(refused, Request) and refused.status == 491
        ack = _inside(raw, invite, answered.to, "ACK", 1)
        body = described(answered.body, 9)
        kind = Headers((("Content-Type", "application/sdp"),))
        raw.say(msgspec.structs.replace(ack, body=body, headers=kind))
        await bob.until(events.Confirmed)
        raw.say(_inside(raw, invite, answered.to, "BYE", 3))
        await bob.until(events.HungUp)


async def test_an_offer_right_behind_an_ack_without_the_answer(tmp_path: Path, raw: Raw) -> None:
    """The ACK that owes us an answer ends the call; what came with it does not disturb that."""
    async with gateway(tmp_path, port=raw.port, twiml="<Response><Pause/></Response>") as here:
        hop = here.hop(Transport.TCP)
        invite = raw.request("INVITE", SipUri(user=NUMBER, host="127.0.0.1", port=hop.port))
        stream = await Stream(hop).open()
        await stream.send(encode(_over_tcp(invite)))
        await stream.hear(lambda each: each.status == 200)
        to = NameAddr(uri=invite.uri, params=(("tag", stream.heard[-1].tag),))
        with capture_logs() as logs:
            both = [_inside(raw, invite, to, "ACK", 1), _inside(raw, invite, to, "INVITE", 2)]
            await stream.send(b"".join(encode(_over_tcp(each)) for each in both))
            await stream.hear(lambda each: each.status >= 400)
            await stream.hear(lambda each: each.method == "BYE")
            await stream.close()
        assert not [each for each in logs if each["log_level"] == "error"]


def _over_tcp(request: Request) -> Request:
    (via,) = request.vias
    return msgspec.structs.replace(request, vias=(msgspec.structs.replace(via, transport="TCP"),))


def _inside(raw: Raw, invite: Request, to: NameAddr, method: str, cseq: int) -> Request:
    body, headers = b"", Headers()
    if method in ("INVITE", "UPDATE"):
        body = (
            b"v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
            b"m=audio 40000 RTP/AVP 0\r\n"
        )
        headers = Headers((("Content-Type", "application/sdp"),))
    fresh = raw.request(method, invite.uri, headers=headers, body=body)  # type: ignore[arg-type]
    return msgspec.structs.replace(
        fresh, from_=invite.from_, to=to, call_id=invite.call_id, cseq=cseq
    )


# What is refused at the door


@pytest.mark.parametrize(
    ("change", "status", "header"),
    [
        ({"max_forwards": 0}, 483, ""),
        (
            {
                "headers": Headers(
                    (("Session-Expires", "30"), ("Supported", "timer"), ("Min-SE", "30"))
                )
            },
            422,
            "Min-SE",
        ),
    ],
    ids=["max-forwards", "session-timer"],
)
async def test_what_is_refused_before_it_is_a_call(
    tmp_path: Path, raw: Raw, change: dict[str, Any], status: int, header: str
) -> None:
    async with gateway(tmp_path, port=raw.port) as here:
        hop = here.hop()
        raw.gateway = (hop.host, hop.port)
        invite = raw.request("INVITE", SipUri(user=NUMBER, host="127.0.0.1", port=hop.port))
        raw.say(msgspec.structs.replace(invite, **change))
        refused = await raw.told()
        assert refused.status == status
        if header:
            assert refused.headers.first(header) == "90"
        ack = msgspec.structs.replace(invite, method="ACK", to=refused.to, headers=Headers())
        raw.say(ack)
        assert await here.calls() == []
