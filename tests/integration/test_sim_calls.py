"""Simulated carriers and phones against each other over loopback, without a gateway between."""

import asyncio
import random
import secrets
import wave
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from protocols.sdp import codec as sdp
from protocols.sdp.media import DtmfMode, LocalMedia
from protocols.sdp.negotiation import Negotiation
from protocols.sdp.offer_answer import Answered
from protocols.sip import agent_events as events
from protocols.sip.agent_commands import HangUp, Invite
from protocols.sip.headers import Reason, write_reason
from protocols.sip.message import Headers, NameAddr
from protocols.sip.registration_events import Failed, Registered
from protocols.sip.session_offers import Body
from protocols.sip.station import Station, Terms, open_station
from protocols.sip.timers import Timers
from protocols.sip.transport import Hop, Transport
from protocols.sip.uri import SipUri
from protocols.sip.wire import Listen, Tls
from sims import control
from sims.carrier import Carrier, Dialling, Gateway, Habits, Nowhere
from sims.carrier_registrar import Account
from sims.media_sounds import tones
from sims.phone import Phone, Subscriber
from sims.phone_calls import CallRecord, CallState, ShownCall
from sims.phone_manners import Manners, named_manners
from sims.phone_script import Manner, read_manner, read_script
from sims.sip_exchange import Stand
from tests.integration.sip.peers import Authority

PATIENCE = 60.0
CALLER = "+15550009999"
SECRET = Account(username="gateway", password="secret", expires=60)

StartCarrier = Callable[..., Awaitable[Carrier]]


@pytest.fixture
async def start() -> AsyncIterator[StartCarrier]:
    """Starts carriers, which are shown to have let go of everything at the end."""
    carriers: list[Carrier] = []

    async def start(
        *manners: str, stand: Stand | None = None, habits: Habits | None = None
    ) -> Carrier:
        carrier = Carrier(stand or Stand(), Manners(named_manners(manners)), habits or Habits())
        carriers.append(carrier)
        await carrier.open()
        return carrier

    yield start
    for each in carriers:
        await each.close()
        assert each.exchange.studio.lines == 0


@pytest.fixture
async def caller(start: StartCarrier) -> Carrier:
    return await start()


async def join(caller: Carrier, called: Carrier) -> None:
    """Let calls of `caller` go to `called`."""
    caller.set_gateway(Gateway(host="127.0.0.1", port=called.port))


def dial(caller: Carrier, to: str, script: Sequence[Any] = (), **more: Any) -> CallRecord:
    manner = read_manner({"script": list(script), **more.pop("manner", {})})
    return caller.call(CALLER, Dialling(to=to, manner=manner, **more))


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not holds():  # noqa: ASYNC110  # a simulator tells nobody
            await asyncio.sleep(0.01)


async def ended(*records: CallRecord) -> list[ShownCall]:
    await until(lambda: all(each.is_over for each in records))
    return [each.shown() for each in records]


async def free(*carriers: Carrier) -> None:
    """Return when no call is left of anybody's."""
    await until(lambda: not any(each.exchange.calls for each in carriers))


def said(call: ShownCall) -> list[tuple[dict[str, Any], bool]]:
    return [(each.step, each.ok) for each in call.steps]


def all_well(call: ShownCall) -> bool:
    return bool(call.steps) and all(each.ok for each in call.steps)


async def test_a_number_greets_and_echoes(start: StartCarrier, caller: Carrier) -> None:
    called = await start()
    await join(caller, called)
    script = [
        {"expect": "tone:440", "within": 20},
        {"expect": "silence", "within": 20},
        {"tone": 800, "for": 1.0},
        {"expect": "tone:800", "within": 20},
        {"expect": "silence", "within": 20},
        {"hangup": True},
    ]
    (call,) = await ended(dial(caller, "+15550001234", script))
    assert said(call) == [(each, True) for each in script]
    assert (call.state, call.sip_code, call.direction) == (CallState.ENDED, 200, "outbound")
    assert (call.from_, call.to) == (CALLER, "+15550001234")
    assert call.started_at <= str(call.answered_at) < str(call.ended_at)
    (other,) = await ended(*called.calls.of("+15550001234"))
    assert (other.from_, other.to, other.direction) == (CALLER, "+15550001234", "inbound")
    assert said(other) == [({"tone": 440, "for": 2}, True), ({"echo": True}, True)]
    await free(caller, called)


@pytest.mark.parametrize(
    ("digits", "status", "reason"),
    [
        ("0486", 486, "Busy Here"),
        ("0603", 603, "Decline"),
        ("0503", 503, "Service Unavailable"),
        ("0555", 302, "Moved Temporarily"),
    ],
)
async def test_a_number_refuses(
    start: StartCarrier, caller: Carrier, digits: str, status: int, reason: str
) -> None:
    called = await start('0555={"redirect": "sip:+15550001111@127.0.0.1:9"}')
    await join(caller, called)
    (call,) = await ended(dial(caller, f"+1555000{digits}", [{"wait": 1}]))
    assert (call.sip_code, call.answered_at, call.steps) == (status, None, [])
    assert call.reason == reason
    (other,) = await ended(*called.calls.of(f"+1555000{digits}"))
    assert other.sip_code == status
    await free(caller, called)


async def test_a_phone_refuses_after_it_rang(start: StartCarrier, caller: Carrier) -> None:
    called = await start('*={"answer_after": 2.5, "refuse": 486}')
    await join(caller, called)
    record = dial(caller, "+15550001234")
    await until(lambda: record.state is CallState.RINGING)
    (call,) = await ended(record)
    assert call.sip_code == 486
    rang = datetime.fromisoformat(str(call.ended_at)) - datetime.fromisoformat(call.started_at)
    assert rang.total_seconds() >= 2.45
    await free(caller, called)


async def test_a_number_rings_until_the_caller_gives_up(
    start: StartCarrier, caller: Carrier
) -> None:
    called = await start()
    await join(caller, called)
    record = dial(caller, "+15550000408", give_up_after=2.5)
    await until(lambda: record.state is CallState.RINGING)
    (call,) = await ended(record)
    assert (call.sip_code, call.answered_at) == (487, None)
    (other,) = await ended(*called.calls.of("+15550000408"))
    assert (other.sip_code, other.answered_at) == (487, None)
    await free(caller, called)


async def test_early_media_is_heard_before_the_answer(start: StartCarrier, caller: Carrier) -> None:
    called = await start()
    await join(caller, called)
    script = [{"expect": "tone:440", "within": 20}, {"hangup": True}]
    early = [{"expect": "tone:620", "within": 20}, {"expect": "dtmf:9", "within": 60}]
    (call,) = await ended(dial(caller, "+15550000183", script, manner={"early": early}))
    first, *others = call.steps
    assert (first.step, first.ok, first.heard) == (early[0], True, "tone:620")
    assert first.at < str(call.answered_at)
    # The answer ends what goes before it.
    outcomes = [(early[1], False), *((each, True) for each in script)]
    assert [(each.step, each.ok) for each in others] == outcomes


@pytest.mark.parametrize("dtmf", list(DtmfMode))
async def test_keys_come_back_as_sound(start: StartCarrier, dtmf: DtmfMode) -> None:
    caller, called = await start(stand=Stand(dtmf=dtmf)), await start(stand=Stand(dtmf=dtmf))
    await join(caller, called)
    script = [{"press": "15#"}, {"expect": "dtmf:15#", "within": 20}, {"hangup": True}]
    (call,) = await ended(dial(caller, "+15550000010", script))
    assert said(call) == [(each, True) for each in script]
    assert call.dtmf == "15#"
    (other,) = await ended(*called.calls.of("+15550000010"))
    assert other.dtmf == "15#"


async def test_a_key_comes_back_after_half_a_second(start: StartCarrier, caller: Carrier) -> None:
    called = await start()
    await join(caller, called)
    script = [{"press": "7"}, {"expect": "dtmf:7", "within": 20}, {"hangup": True}]
    (call,) = await ended(dial(caller, "+15550000010", script))
    pressed, heard = (datetime.fromisoformat(each.at) for each in call.steps[:2])
    # The key was up again 0.1 to 0.2 s after it was pressed, and its sound begins after 0.5 s.
    assert (heard - pressed).total_seconds() > 0.25


async def test_a_machine_speaks_beeps_and_listens(start: StartCarrier, caller: Carrier) -> None:
    called = await start()
    await join(caller, called)
    script = [
        {"expect": "energy", "within": 20},
        {"expect": "tone:1000", "within": 20},
        {"expect": "silence", "within": 20},
        {"hangup": True},
    ]
    (call,) = await ended(dial(caller, "+15550000011", script))
    assert said(call) == [(each, True) for each in script]


async def test_what_is_not_heard_is_told_with_what_was(
    start: StartCarrier, caller: Carrier
) -> None:
    called = await start('*={"script": [{"tone": 700, "for": 60}]}')
    await join(caller, called)
    script = [
        {"expect": "tone:440", "within": 1},
        {"expect": "dtmf:1", "within": 0.1},
        {"expect": "silence", "within": 0.5},
        {"hangup": True},
    ]
    (call,) = await ended(dial(caller, "+15550001234", script))
    heard = [(each.ok, each.heard) for each in call.steps]
    assert heard == [(False, "tone:700"), (False, "dtmf:"), (False, "tone:700"), (True, None)]


async def test_what_waits_at_the_end_of_a_call_was_missed(
    start: StartCarrier, caller: Carrier
) -> None:
    called = await start('*={"script": [{"wait": 0.5}, {"hangup": true}]}')
    await join(caller, called)
    (call,) = await ended(dial(caller, "+15550001234", [{"expect": "tone:440", "within": 30}]))
    assert said(call) == [({"expect": "tone:440", "within": 30}, False)]


@pytest.mark.parametrize("dtmf", list(DtmfMode))
@pytest.mark.parametrize(("keys", "ok"), [("1", True), ("1W2", False)])
async def test_a_key_that_ends_the_call_was_pressed(
    start: StartCarrier, dtmf: DtmfMode, keys: str, ok: bool
) -> None:
    caller, called = [await start(stand=Stand(dtmf=dtmf)) for _ in range(2)]
    await join(caller, called)
    script = [{"expect": "dtmf:1", "within": 20}, {"hangup": True}]
    called.set_phone("+15550001234", read_manner({"script": script}))
    (call,) = await ended(dial(caller, "+15550001234", [{"press": keys}, {"wait": 30}]))
    assert said(call) == [({"press": keys}, ok)]


async def test_nothing_is_done_after_hanging_up(start: StartCarrier, caller: Carrier) -> None:
    called = await start()
    await join(caller, called)
    (call,) = await ended(dial(caller, "+15550001234", [{"hangup": True}, {"wait": 0}]))
    await free(caller, called)
    assert said(call) == [({"hangup": True}, True)]


async def test_a_recording_is_played(start: StartCarrier, caller: Carrier, tmp_path: Path) -> None:
    path = tmp_path / "tone.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(tones((900.0,), 1.0, 16000).take(16000).tobytes())
    called = await start('*={"script": [{"expect": "tone:900", "within": 20}, {"hangup": true}]}')
    await join(caller, called)
    script = [{"play": str(tmp_path / "gone.wav")}, {"play": str(path)}, {"wait": 60}]
    (call,) = await ended(dial(caller, "+15550001234", script))
    assert not call.steps[0].ok
    assert "gone.wav" in str(call.steps[0].heard)
    (other,) = await ended(*called.calls.of("+15550001234"))
    assert all_well(other)


async def test_a_call_that_is_dropped_is_dead(start: StartCarrier) -> None:
    quick = Stand(timers=Timers(t1=0.05))
    caller = await start(stand=quick)
    called = await start('*={"drop_after": 2.5, "script": [{"tone": 440, "for": 60}]}')
    await join(caller, called)
    script = [
        {"expect": "tone:440", "within": 20},
        {"expect": "silence", "within": 20},
        {"refresh": "UPDATE"},
    ]
    record = dial(caller, "+15550001234", script)
    # RFC 3261 §12.2.1.2: the request that nobody answers ends the call.
    (call,) = await ended(record)
    assert said(call)[:2] == [(each, True) for each in script[:2]]
    (other,) = called.calls.of("+15550001234")
    assert other.state is CallState.DROPPED
    assert call.ended_at is not None and other.shown().ended_at is None


async def test_a_call_is_held_and_taken_back(start: StartCarrier, caller: Carrier) -> None:
    listen = [
        {"expect": "tone:500", "within": 20},
        {"expect": "silence", "within": 20},
        {"expect": "tone:500", "within": 20},
    ]
    called = await start(f'*={{"script": {str(listen).replace(chr(39), chr(34))}}}')
    await join(caller, called)
    script = [
        {"tone": 500, "for": 0.6},
        {"hold": True},
        {"wait": 1},
        {"hold": False},
        {"tone": 500, "for": 0.6},
        {"hangup": True},
    ]
    (call,) = await ended(dial(caller, "+15550001234", script))
    assert said(call) == [(each, True) for each in script]
    (other,) = await ended(*called.calls.of("+15550001234"))
    assert said(other) == [(each, True) for each in listen]


@pytest.mark.parametrize("by", ["INVITE", "UPDATE"])
async def test_a_call_is_refreshed(start: StartCarrier, caller: Carrier, by: str) -> None:
    called = await start()
    await join(caller, called)
    script = [
        {"refresh": by},
        {"refresh": by},
        {"expect": "tone:440", "within": 20},
        {"hangup": True},
    ]
    (call,) = await ended(dial(caller, "+15550001234", script))
    assert said(call) == [(each, True) for each in script]


@pytest.mark.parametrize("reliable", ["never", "require"])
async def test_the_other_side_has_to_offer(
    start: StartCarrier, caller: Carrier, reliable: str
) -> None:
    called = await start(
        f'*={{"reliable": "{reliable}", "early": [{{"tone": 700, "for": 9}}], "answer_after": 2.5,'
        ' "script": [{"expect": "dtmf:12", "within": 20}, {"hangup": true}]}'
    )
    await join(caller, called)
    manner = {"early": [{"expect": "tone:700", "within": 20}]} if reliable == "require" else {}
    record = dial(
        caller, "+15550001234", [{"press": "12"}, {"wait": 60}], late_offer=True, manner=manner
    )
    (call,) = await ended(record)
    assert call.sip_code == 200
    assert all(each.ok for each in call.steps)
    (other,) = await ended(*called.calls.of("+15550001234"))
    assert all_well(other) and other.dtmf == "12"


async def test_provisional_responses_that_must_arrive_do(
    start: StartCarrier, caller: Carrier
) -> None:
    called = await start(
        '*={"reliable": "require", "early": [{"tone": 700, "for": 9}], "answer_after": 2.5}'
    )
    await join(caller, called)
    early = [{"expect": "tone:700", "within": 20}]
    more = {"early": early, "reliable": "require"}
    (call,) = await ended(dial(caller, "+15550001234", [{"hangup": True}], manner=more))
    assert call.sip_code == 200
    assert all_well(call) and len(call.steps) == 2


async def test_a_transfer_is_asked_for(start: StartCarrier, caller: Carrier) -> None:
    called = await start()
    await join(caller, called)
    (call,) = await ended(
        dial(caller, "+15550001234", [{"transfer": "+15550001111"}, {"hangup": True}])
    )
    assert call.steps[0].ok and str(call.steps[0].heard).startswith("603")


@pytest.mark.parametrize(("ours", "theirs"), [("G722", "PCMU"), ("opus", "PCMA")])
async def test_without_a_codec_in_common_there_is_no_call(
    start: StartCarrier, ours: str, theirs: str
) -> None:
    caller = await start(stand=Stand(codecs=(ours,)))
    called = await start(stand=Stand(codecs=(theirs,)))
    await join(caller, called)
    (call,) = await ended(dial(caller, "+15550001234"))
    assert call.sip_code == 488
    await free(caller, called)


@pytest.mark.parametrize("codec", ["PCMU", "PCMA", "G722", "opus"])
async def test_every_codec_is_spoken(start: StartCarrier, codec: str) -> None:
    caller = await start(stand=Stand(codecs=(codec,)))
    heard = '{"expect": "dtmf:5", "within": 30}, {"hangup": true}'
    called = await start(
        f'*={{"script": [{{"tone": 1000, "for": 2}}, {heard}]}}', stand=Stand(codecs=(codec,))
    )
    await join(caller, called)
    script = [{"expect": "tone:1000", "within": 20}, {"press": "5"}]
    (call,) = await ended(dial(caller, "+15550001234", [*script, {"wait": 30}]))
    assert said(call)[:2] == [(each, True) for each in script]
    (other,) = await ended(*called.calls.of("+15550001234"))
    assert all_well(other) and other.dtmf == "5"


async def test_a_number_answers_as_it_was_told_until_all_is_forgotten(
    start: StartCarrier, caller: Carrier
) -> None:
    called = await start()
    await join(caller, called)
    called.set_phone("+15550001234", read_manner({"refuse": 404}))
    (call,) = await ended(dial(caller, "+15550001234"))
    assert call.sip_code == 404
    called.forget()
    assert called.calls.of("+15550001234") == []
    (call,) = await ended(dial(caller, "+15550001234", [{"hangup": True}]))
    assert call.sip_code == 200


async def test_a_carrier_that_nobody_can_call_from_says_so(caller: Carrier) -> None:
    with pytest.raises(Nowhere, match="PUT /sim/gateway"):
        dial(caller, "+15550001234")


async def test_calls_end_with_their_carrier(start: StartCarrier, caller: Carrier) -> None:
    called = await start()
    await join(caller, called)
    record = dial(caller, "+15550001234", [{"wait": 60}])
    await until(lambda: record.state is CallState.ANSWERED)
    await called.close()
    (call,) = await ended(record)
    assert call.sip_code == 200
    assert called.exchange.studio.lines == 0


# A phone at a carrier that is its registrar


def phone(carrier: Carrier, transport: Transport, password: str, manner: Manner) -> Phone:
    return Phone(
        Stand(transports=(transport,), user="gateway"),
        Subscriber(
            user="gateway",
            password=password,
            domain=SECRET.realm,
            server=Hop(transport=transport, host="127.0.0.1", port=carrier.port),
        ),
        manner,
    )


@pytest.mark.parametrize("transport", [Transport.UDP, Transport.TCP])
async def test_a_phone_registers_calls_and_is_called(
    start: StartCarrier, transport: Transport
) -> None:
    carrier = await start(habits=Habits(account=SECRET, challenges_calls=True))
    greeting = Manner(script=read_script([{"tone": 550, "for": 5}]))
    own = phone(carrier, transport, "secret", greeting)
    await own.open()
    async with asyncio.timeout(PATIENCE):
        assert isinstance(await own.registered(), Registered)
    dialling = Dialling(
        to="+15550001234",
        manner=Manner(script=read_script([{"expect": "tone:440"}, {"hangup": True}])),
    )
    (out,) = await ended(own.call("gateway", dialling))
    assert (out.sip_code, all_well(out)) == (200, True)
    (back,) = await ended(
        dial(carrier, "gateway", [{"expect": "tone:550", "within": 20}, {"hangup": True}])
    )
    assert (back.sip_code, all_well(back)) == (200, True)
    assert [each.direction for each in own.calls.of("gateway")] == ["outbound", "inbound"]
    (refused,) = await ended(dial(carrier, "somebody"))
    assert refused.sip_code == 404
    await own.close()
    with pytest.raises(Nowhere):
        dial(carrier, "gateway")


async def test_a_registration_over_a_connection_ends_with_it(start: StartCarrier) -> None:
    carrier = await start(habits=Habits(account=SECRET))
    own = phone(carrier, Transport.TCP, "secret", Manner())
    await own.open()
    async with asyncio.timeout(PATIENCE):
        assert isinstance(await own.registered(), Registered)
    await own.exchange.close()  # as a phone that loses its power

    def is_gone() -> bool:
        try:
            dial(carrier, "gateway")
        except Nowhere:
            return True
        return False

    await until(is_gone)
    await own.close()


async def test_a_phone_with_a_wrong_password_is_let_in_nowhere(start: StartCarrier) -> None:
    carrier = await start(habits=Habits(account=SECRET, challenges_calls=True))
    own = phone(carrier, Transport.UDP, "guess", Manner())
    await own.open()
    async with asyncio.timeout(PATIENCE):
        assert isinstance(await own.registered(), Failed)
    (call,) = await ended(own.call("gateway", Dialling(to="+15550001234", manner=Manner())))
    assert call.sip_code == 407
    assert carrier.calls.of("+15550001234") == []
    await own.close()


async def test_a_registration_lasts_no_longer_than_the_carrier_grants(
    start: StartCarrier,
) -> None:
    carrier = await start(habits=Habits(account=SECRET))
    own = phone(carrier, Transport.UDP, "secret", Manner())
    await own.open()
    async with asyncio.timeout(PATIENCE):
        event = await own.registered()
    assert isinstance(event, Registered)
    assert event.expires_at - own.exchange.now() <= SECRET.expires
    await own.close()


async def test_a_phone_over_tls_is_reached_over_its_own_connection(
    start: StartCarrier, tmp_path: Path
) -> None:
    authority, transport = Authority(tmp_path), Transport.TLS
    tls = Tls(certificates=(authority.sign("carrier", SECRET.realm),))
    secured = Stand(transports=(transport,), tls=tls)
    carrier = await start(stand=secured, habits=Habits(account=SECRET))
    trusting = Tls(trust=authority.trust)
    server = Hop(transport=transport, host="127.0.0.1", port=carrier.port, domain=SECRET.realm)
    own = Phone(
        Stand(transports=(Transport.UDP,), tls=trusting, user="gateway"),
        Subscriber(user="gateway", password="secret", domain=SECRET.realm, server=server),
        Manner(script=read_script([{"tone": 550, "for": 5}])),
    )
    await own.open()
    async with asyncio.timeout(PATIENCE):
        assert isinstance(await own.registered(), Registered)
    (back,) = await ended(
        dial(carrier, "gateway", [{"expect": "tone:550", "within": 20}, {"hangup": True}])
    )
    assert (back.sip_code, all_well(back)) == (200, True)
    await own.close()


# Against a user agent in the hand


class Agent:
    """A user agent that calls a carrier; `told` is what it was told."""

    def __init__(self, carrier: Carrier) -> None:
        self.told: list[Any] = []
        self.hop = Hop(transport=Transport.UDP, host="127.0.0.1", port=carrier.port)
        self.negotiation = Negotiation(session_id=1, key=bytes)
        self.local = LocalMedia(address="127.0.0.1", port=9)
        self.station: Station

    async def call(self, to: str) -> events.SessionId:
        self.station = await open_station(
            Terms(listens=(Listen(transport=Transport.UDP, host="127.0.0.1"),)),
            self.told.append,
            token=lambda: secrets.token_hex(8),
            chance=random.random,
        )
        uri = SipUri(user=to, host=self.hop.host, port=self.hop.port)
        session = self.station.agent.invite(
            Invite(
                uri=uri,
                from_=NameAddr(uri=SipUri(user="agent", host="a.example")),
                to=NameAddr(uri=uri),
                body=Body(octets=sdp.write(self.negotiation.offer(self.local))),
            ),
            self.hop,
            self.station.now(),
        )
        self.station.wake()
        return session

    async def until(self, kind: type[Any]) -> Any:
        await until(lambda: any(isinstance(each, kind) for each in self.told))
        return next(each for each in self.told if isinstance(each, kind))


@pytest.mark.parametrize("refresher", ["us", "peer"])
async def test_session_timers_are_as_the_manner_says(start: StartCarrier, refresher: str) -> None:
    carrier = await start(f'*={{"session_expires": 90, "refresher": "{refresher}"}}')
    agent = Agent(carrier)
    await agent.call("+15550001234")
    answered = await agent.until(events.Answered)
    said = answered.response.headers.first("Session-Expires")
    assert said == f"90;refresher={'uas' if refresher == 'us' else 'uac'}"
    await agent.station.close()


async def test_why_the_other_side_ended_a_call_is_written_down(start: StartCarrier) -> None:
    carrier = await start('*={"script": [{"wait": 30}]}')
    agent = Agent(carrier)
    session = await agent.call("+15550001234")
    await agent.until(events.Answered)
    why = write_reason(Reason(protocol="SIP", cause=408, text="nobody speaks"))
    agent.station.agent.hang_up(session, agent.station.now(), HangUp(headers=Headers([why])))
    agent.station.wake()
    (call,) = await ended(*carrier.calls.of("+15550001234"))
    assert (call.sip_code, call.reason) == (200, "nobody speaks")
    await agent.station.close()


async def test_an_offer_is_made_where_one_is_wanted(start: StartCarrier) -> None:
    """A re-INVITE without an offer, and the answer in its ACK: after it the script can offer."""
    carrier = await start(
        '*={"script": [{"wait": 2.5}, {"hold": true}, {"hold": true}, {"hangup": true}]}',
    )
    agent = Agent(carrier)
    session = await agent.call("+15550001234")
    answered = await agent.until(events.Answered)
    agent.negotiation.accept(sdp.read(answered.body.octets))
    agent.station.agent.offer(session, None, agent.station.now())
    agent.station.wake()
    offer = await agent.until(events.OfferReceived)
    agent.negotiation.receive_offer(sdp.read(offer.body.octets))
    answer = agent.negotiation.answer(agent.local)
    assert isinstance(answer, Answered)
    agent.station.agent.answer(
        session, Body(octets=sdp.write(answer.description)), agent.station.now()
    )
    agent.station.wake()
    for _ in range(2):  # what was refused once can be asked for again
        agent.told.clear()
        held = await agent.until(events.OfferReceived)
        assert b"a=sendonly" in held.body.octets
        agent.station.agent.refuse_offer(session, agent.station.now())
        agent.station.wake()
    await agent.until(events.Ended)
    (call,) = await ended(*carrier.calls.of("+15550001234"))
    assert said(call)[1:] == [*[({"hold": True}, False)] * 2, ({"hangup": True}, True)]
    assert all(str(each.heard).startswith("488") for each in call.steps[1:3])
    await agent.station.close()


# Over HTTP


@pytest.fixture
async def http(caller: Carrier) -> AsyncIterator[TestClient[Any, Any]]:
    async with TestClient(TestServer(control.application(None, caller))) as client:
        yield client


async def ask(
    http: TestClient[Any, Any], method: str, path: str, body: Any = None
) -> tuple[int, Any]:
    async with http.request(method, path, json=body) as answer:
        return answer.status, await answer.json() if answer.status != 204 else None


async def test_phones_are_steered_over_http(caller: Carrier, http: TestClient[Any, Any]) -> None:
    where = {"host": "127.0.0.1", "port": caller.port}
    assert (await ask(http, "PUT", "/sim/gateway", where))[0] == 204
    manner = {"answer_after": 0.1, "script": [{"tone": 700, "for": 30}]}
    assert (await ask(http, "PUT", "/sim/phones/%2B15550001234", manner))[0] == 204
    script = [{"expect": "tone:700", "within": 20}, {"hangup": True}]
    call = {"to": "+15550001234", "script": script}
    status, placed = await ask(http, "POST", f"/sim/phones/{CALLER}/calls", call)
    assert status == 201
    await ended(*caller.calls.of(CALLER))
    status, (shown,) = await ask(http, "GET", f"/sim/phones/{CALLER.removeprefix('+')}/calls")
    assert status == 200
    assert shown["id"] == placed["id"]
    assert set(shown) == {
        *("id", "from", "to", "direction", "state", "sip_code", "started_at", "answered_at"),
        *("reason", "ended_at", "dtmf", "steps"),
    }
    assert [(each["step"], each["ok"]) for each in shown["steps"]] == [(s, True) for s in script]
    assert shown["steps"][0]["heard"] == "tone:700"
    assert (await ask(http, "DELETE", "/sim"))[0] == 204
    assert await ask(http, "GET", f"/sim/phones/{CALLER}/calls") == (200, [])


@pytest.mark.parametrize(
    ("method", "path", "body", "says"),
    [
        ("PUT", "/sim/phones/+15550001234", {"answer": 1}, "unknown field `answer`"),
        ("PUT", "/sim/phones/+15550001234", {"script": [{"sing": 1}]}, "a script is a list"),
        ("PUT", "/sim/phones/a%20b", {}, "%2B15550001001"),
        ("POST", "/sim/phones/+15550001234/calls", {"script": []}, '"to"'),
        ("POST", "/sim/phones/+15550001234/calls", {"to": "a b"}, "can't be 'a b'"),
        ("POST", "/sim/phones/+15550001234/calls", {"to": "1", "script": [{}]}, "step 1"),
        ("POST", "/sim/phones/+1/calls", {"to": "1", "give_up_after": -1}, "give_up_after"),
        ("PUT", "/sim/gateway", {"host": "a b", "port": 1}, "no address"),
        ("PUT", "/sim/gateway", {"host": "a", "port": 0}, "no address"),
        ("PUT", "/sim/gateway", {"host": "a", "port": 1, "transport": "sctp"}, "no transport"),
    ],
)
async def test_a_wrong_request_is_told_what_is_right(
    http: TestClient[Any, Any], method: str, path: str, body: Any, says: str
) -> None:
    status, answer = await ask(http, method, path, body)
    assert status == 400
    assert says in answer["error"]


async def test_a_call_to_nowhere_is_unavailable(http: TestClient[Any, Any]) -> None:
    status, answer = await ask(http, "POST", f"/sim/phones/{CALLER}/calls", {"to": "+15550001234"})
    assert status == 503
    assert "PUT /sim/gateway" in answer["error"]


async def test_a_call_is_steered_while_it_goes_on(
    caller: Carrier, http: TestClient[Any, Any]
) -> None:
    await join(caller, caller)
    manner = {"answer_after": 0.3, "script": []}
    assert (await ask(http, "PUT", "/sim/phones/+15550001234", manner))[0] == 204
    record = dial(caller, "+15550001234")
    mine = f"/sim/phones/{CALLER}/calls/{record.id}"
    # What is given before the answer waits for it, and one script does not wait for another.
    hears = {"expect": "tone:700", "within": 20}
    assert await ask(http, "POST", f"{mine}/scripts", {"script": [hears]}) == (201, {"id": "1"})
    says = [{"tone": 800, "for": 20}]
    assert await ask(http, "POST", f"{mine}/scripts", {"script": says}) == (201, {"id": "2"})
    (theirs,) = await listed(caller, "+15550001234")
    there = f"/sim/phones/+15550001234/calls/{theirs.id}/scripts"
    await ask(http, "POST", there, {"script": [{"expect": "tone:800", "within": 20}]})
    await ask(http, "POST", there, {"script": [{"tone": 700, "for": 20}]})
    await until(lambda: any(each.ok for each in record.shown().steps))
    assert [(each.step, each.script) for each in record.shown().steps] == [(hears, "1")]
    await until(lambda: any(each.ok for each in theirs.shown().steps))
    assert await ask(http, "DELETE", mine) == (204, None)
    (call, other) = await ended(record, theirs)
    assert call.sip_code == other.sip_code == 200
    assert await ask(http, "DELETE", mine) == (204, None)  # what is over stays over
    status, refused = await ask(http, "POST", f"{mine}/scripts", {"script": says})
    assert (status, refused["error"]) == (409, f"call {record.id} is over")
    await free(caller)
    assert record.steered is theirs.steered is None  # nothing but what is listed is kept


async def test_all_phones_hang_up(caller: Carrier, http: TestClient[Any, Any]) -> None:
    await join(caller, caller)
    records = dial(caller, "+15550000408"), dial(caller, "+15550001234")  # one rings, one is up
    await until(lambda: [each.state for each in records] == [CallState.RINGING, CallState.ANSWERED])
    assert await ask(http, "DELETE", "/sim/phones") == (204, None)
    calls = await ended(*records)
    assert [each.sip_code for each in calls] == [480, 200]
    await free(caller)


async def listed(carrier: Carrier, phone: str) -> list[CallRecord]:
    """The calls of a phone, once there are some."""
    await until(lambda: bool(carrier.calls.of(phone)))
    return carrier.calls.of(phone)


@pytest.mark.parametrize(
    ("method", "path", "status", "says"),
    [
        ("DELETE", "", 404, "no call 'none'"),
        ("POST", "/scripts", 404, "no call 'none'"),
    ],
)
async def test_a_call_that_is_not_there_can_not_be_steered(
    http: TestClient[Any, Any], method: str, path: str, status: int, says: str
) -> None:
    found, answer = await ask(http, method, f"/sim/phones/{CALLER}/calls/none{path}", {})
    assert (found, says in answer["error"]) == (status, True)
