"""Clients of the Voice SDK at the desk: who is there, who may what, calls that outlive sockets."""

import asyncio
import json
from typing import Any

import pytest

from gateway.browsers import bearers, desk, dialogue
from gateway.calls.browser import MOST_DEVICES, Dialogue
from gateway.calls.call_messages import Said
from protocols.voicesdk.errors import Code, Fault
from protocols.voicesdk.session import USER_DEFINED
from tests.unit.browsers.desks import (
    APPLICATION,
    KEY,
    OURS,
    SID,
    THEIRS,
    Allowed,
    Leg,
    Page,
    World,
)

EMPTY = {"clients": 0, "registered": 0, "calls": 0, "tasks": 0, "held": 0}


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def comes(world: World, token: str = "alice", *, registers: bool = True) -> Page:
    page = Page(world)
    page.says("listen", token=token)
    if registers:
        page.says("register", media={"audio": True})
    await turn()
    return page


async def calls(world: World, page: Page) -> None:
    """Make a call that is answered."""
    page.says("invite", callsid="TJS1", sdp="v=0", twilio={"params": "To=%2B1555"})
    assert world.dialogue is not None
    world.dialogue.answer("ours")


async def test_who_shows_a_token_is_there_and_is_told_for_how_long() -> None:
    world = World()
    page = await comes(world)
    (kind, told), ready = page.hears()
    assert (kind, told["token"]) == ("connected", {"identity": "alice", "ttl": 3600})
    assert ready == ("ready", {})
    assert world.desk.of(OURS, "alice") == [page.client]
    assert world.desk.of(THEIRS, "alice") == []
    page.client.drop()
    assert world.desk.ledger() == EMPTY


async def test_a_token_that_is_none_closes_the_socket() -> None:
    world = World()
    page = await comes(world, "forged")
    assert page.hears() == [("error", {"error": {"code": 31204, "message": "no token of ours"}})]
    assert page.client.closed is not None
    assert page.client.closed.status == 1008


async def test_while_the_store_is_away_nobody_comes_in_and_the_client_tries_again() -> None:
    world = World()
    world.is_store_away = True
    page = await comes(world)
    assert page.hears()[0][1]["error"]["code"] == Code.UNKNOWN
    assert world.desk.of(OURS, "alice") == []


async def test_a_newer_token_has_to_be_of_the_same_identity() -> None:
    world = World()
    page = await comes(world)
    page.hears()
    for token in ("bob", "theirs"):
        page.says("listen", token=token)
        await turn()
        assert page.hears()[0][1]["error"]["code"] == Code.BAD_TOKEN
    page.says("listen", token="alice")
    await turn()
    assert page.hears()[0][0] == "connected"
    assert world.desk.ledger()["clients"] == 1


async def test_the_grants_of_a_token_hold() -> None:
    world = World()
    page = await comes(world, "deaf")
    page.says("invite", callsid="TJS1", sdp="v=0", twilio={})
    _, register, invite = page.hears()
    assert register[1]["error"]["code"] == Code.UNAUTHORIZED
    assert (invite[0], invite[1]["error"]["code"]) == ("hangup", Code.UNAUTHORIZED)
    assert world.wanted == []


async def test_a_newer_token_counts_though_a_register_is_refused_while_it_is_looked_at() -> None:
    world = World()
    page = await comes(world, "deaf")
    page.hears()
    world.tokens["newer"] = Allowed()
    page.says("listen", token="newer")
    page.says("register", media={"audio": True})
    await turn()
    page.says("register", media={"audio": True})
    (_, refused), (kind, _), ready = page.hears()
    assert (refused["error"]["code"], kind) == (Code.UNAUTHORIZED, "connected")
    assert ready == ("ready", {})


async def test_a_token_that_ran_out_neither_calls_nor_is_called_and_its_call_goes_on() -> None:
    world = World()
    page = await comes(world)
    await calls(world, page)
    world.now += 3600
    page.hears()
    assert world.desk.of(OURS, "alice") == []
    for _ in range(2):
        page.says("register", media={"audio": True})
    page.says("invite", callsid="TJS2", sdp="v=0", twilio={})
    (_, first), offline, (_, second), (kind, third) = page.hears()
    codes = [said["error"]["code"] for said in (first, second, third)]
    assert codes == [Code.TOKEN_EXPIRED] * 3
    assert (offline, kind, third["callsid"]) == (("offline", {}), "hangup", "TJS2")
    assert (len(world.wanted), world.desk.ledger()["registered"]) == (1, 0)
    page.says("dtmf", callsid=SID, dtmf="1")
    assert world.leg.told == [("pressed", "1")]
    world.tokens["newer"] = Allowed(expires=world.now + 60)
    page.says("listen", token="newer")
    await turn()
    page.says("register", media={"audio": True})
    assert world.desk.of(OURS, "alice") == [page.client]


async def test_a_newer_token_without_the_grant_takes_the_device_out() -> None:
    world = World()
    page = await comes(world)
    page.hears()
    world.tokens["newer"] = Allowed(incoming_allow=False)
    page.says("listen", token="newer")
    await turn()
    assert [kind for kind, _ in page.hears()] == ["connected", "offline"]
    assert world.desk.of(OURS, "alice") == []
    assert world.desk.ledger()["registered"] == 0


async def test_a_call_has_what_its_client_says_and_what_the_token_says_goes_before() -> None:
    world = World()
    world.tokens["alice"] = Allowed(outgoing_params={"tier": "gold"})
    page = await comes(world)
    page.says(
        "invite", callsid="TJS1", sdp="v=0", twilio={"params": "To=%2B1555&tier=none&n=%C3%BC"}
    )
    (wanted,) = world.wanted
    assert (wanted.account_sid, wanted.identity) == (OURS, "alice")
    assert wanted.application_sid == APPLICATION
    assert dict(wanted.parameters) == {"To": "+1555", "tier": "gold", "n": "ü"}


async def test_a_call_that_is_refused_says_why_under_the_clients_name_for_it() -> None:
    world = World()
    world.refusal = Fault(code=31503, message="full")
    page = await comes(world)
    page.hears()
    page.says("invite", callsid="TJS1", sdp="v=0", twilio={})
    told = {"callsid": "TJS1", "error": {"code": 31503, "message": "full"}}
    assert page.hears() == [("hangup", told)]


async def test_calls_that_begin_too_often_are_refused_before_anything_is_made() -> None:
    world = World()
    world.refusal = Fault(code=31503, message="full")
    page, other = await comes(world), await comes(world)
    bob = await comes(world, "bob")
    heard = []
    for number in range(30):
        for each in (page, other):
            each.hears()
            each.says("invite", callsid=f"TJS{number}", sdp="v=0", twilio={})
            ((kind, told),) = each.hears()
            assert (kind, told["callsid"]) == ("hangup", f"TJS{number}")
            heard.append(told["error"]["code"])
    assert heard == [31503] * 10 + [Code.TOO_OFTEN] * 50
    assert (len(world.wanted), world.desk.ledger()["held"]) == (10, 1)
    bob.says("invite", callsid="TJS1", sdp="v=0", twilio={})
    assert len(world.wanted) == 11
    world.now += 1
    page.says("invite", callsid="TJS99", sdp="v=0", twilio={})
    assert len(world.wanted) == 12


async def test_of_many_devices_those_that_came_last_ring() -> None:
    world = World()
    pages = [await comes(world) for _ in range(MOST_DEVICES + 2)]
    found = world.desk.of(OURS, "alice")
    assert found == [page.client for page in reversed(pages[2:])]
    pages[-1].says("register", media={"audio": False})
    assert pages[-1].client not in world.desk.of(OURS, "alice")
    assert ("offline", {}) in pages[-1].hears()


async def test_devices_of_one_identity_are_bounded_and_those_there_stay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(desk, "MOST_SOCKETS", 2)
    world = World()
    pages = [await comes(world) for _ in range(3)]
    assert [page.client.session.is_connected for page in pages] == [True, True, False]
    assert pages[2].hears()[0][1]["error"]["code"] == Code.TOO_OFTEN
    pages[2].client.drop()
    pages[0].says("listen", token="alice")
    await turn()
    assert pages[0].client.session.is_connected
    pages[0].client.drop()
    assert (await comes(world)).client.session.is_connected
    assert (await comes(world, "bob")).client.session.is_connected


async def test_a_device_says_that_it_takes_calls_again_and_again_and_rings_once() -> None:
    world = World()
    page = await comes(world)
    for _ in range(3):
        page.says("register", media={"audio": True})
    assert world.desk.of(OURS, "alice") == [page.client]


async def test_what_a_client_does_in_a_call_is_told_to_its_leg() -> None:
    world = World()
    page = await comes(world)
    await calls(world, page)
    page.says("dtmf", callsid=SID, dtmf="12#")
    page.says("reinvite", callsid=SID, sdp="again")
    page.says("hangup", callsid=SID, message="bye")
    assert world.leg.told == [("pressed", "12#"), ("offered", "again"), ("hung up", "bye")]
    page.says("dtmf", callsid=SID, dtmf="9")
    assert len(world.leg.told) == 3
    assert world.desk.ledger()["calls"] == 0


async def test_what_a_leg_cant_cope_with_ends_that_alone() -> None:
    world = World()
    page = await comes(world)
    await calls(world, page)
    page.says("dtmf", callsid=SID, dtmf="D")
    assert world.leg.told == [("fault", "")]
    page.says("register", media={"audio": True})
    assert page.hears()[-1] == ("ready", {})


async def test_a_device_rings_and_answers_or_does_not() -> None:
    world = World()
    page = await comes(world)
    page.hears()
    one, other = Leg(), Leg()
    for number, leg in enumerate((one, other)):
        sid = f"CA{number}"
        page.client.open(sid, f"{sid}.1", leg).invite("offer", {"From": "client:bob"})
    said = page.hears()
    assert [(kind, told["callsid"]) for kind, told in said] == [
        ("invite", "CA0"),
        ("invite", "CA1"),
    ]
    assert said[0][1]["parameters"] == {"From": "client:bob"}
    page.says("answer", callsid="CA0", sdp="yes")
    page.says("reject", callsid="CA1")
    assert (one.told, other.told) == ([("answered", "yes")], [("rejected", "")])


async def test_a_call_outlives_its_socket_and_is_taken_up_by_its_proof() -> None:
    world = World()
    page = await comes(world)
    await calls(world, page)
    proof = page.hears()[-1][1]["reconnect"]
    page.client.drop()
    assert world.leg.told == []
    assert world.desk.ledger()["calls"] == 1

    assert world.dialogue is not None
    world.dialogue.message(Said(sid="KX1", content='{"a": 1}'))
    back = await comes(world)
    back.hears()
    back.says("invite", callsid=SID, sdp="same", reconnect=proof, twilio={})
    assert world.leg.told == [("offered", "same")]
    ((kind, told),) = back.hears()
    assert (kind, told["voiceeventsid"]) == ("message", "KX1")
    back.says("dtmf", callsid=SID, dtmf="1")
    assert world.leg.told[-1] == ("pressed", "1")
    world.dialogue.hang_up(Fault(code=31486, message="busy"))
    told = {"callsid": SID, "error": {"code": 31486, "message": "busy"}}
    assert back.hears() == [("hangup", told)]
    for each in (page, back):
        each.client.drop()
    assert world.desk.ledger() == EMPTY


@pytest.mark.parametrize("fault", [None, Fault(code=31408, message="late")])
async def test_who_was_away_when_it_ended_hears_so_once(fault: Fault | None) -> None:
    world = World()
    page = await comes(world)
    await calls(world, page)
    proof = page.hears()[-1][1]["reconnect"]
    page.client.drop()
    assert world.dialogue is not None
    world.dialogue.hang_up(fault)
    back, stranger = await comes(world), await comes(world, "bob")
    heard = []
    for each in (stranger, back, back):
        each.hears()
        each.says("invite", callsid=SID, sdp="same", reconnect=proof, twilio={})
        ((kind, told),) = each.hears()
        assert (kind, told["callsid"]) == ("hangup", SID)
        heard.append(told.get("error", {}).get("code"))
    expected = None if fault is None else fault.code
    assert heard == [Code.NOT_RECONNECTED, expected, Code.NOT_RECONNECTED]
    assert world.desk.ledger()["calls"] == 0


async def test_who_is_back_too_late_does_not_hear_how_it_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dialogue, "AWAY", 0.0)
    world = World()
    page = await comes(world)
    back = await comes(world)
    await calls(world, page)
    proof = page.hears()[-1][1]["reconnect"]
    page.client.drop()
    assert world.dialogue is not None
    world.dialogue.hang_up(Fault(code=31408, message="late"))
    back.hears()
    back.says("invite", callsid=SID, sdp="same", reconnect=proof, twilio={})
    ((_, told),) = back.hears()
    assert told["error"]["code"] == Code.NOT_RECONNECTED


async def test_a_device_that_answered_is_waited_for_before_it_was_told_so() -> None:
    world = World()
    page = await comes(world)
    page.client.open(SID, f"{SID}.1", world.leg).invite("offer", {})
    page.says("answer", callsid=SID, sdp="yes")
    page.client.drop()
    assert world.leg.told == [("answered", "yes")]
    assert world.desk.ledger()["calls"] == 1


async def test_after_a_newer_token_the_sdk_takes_its_calls_up_on_the_same_socket() -> None:
    world = World()
    page = await comes(world)
    await calls(world, page)
    proof = page.hears()[-1][1]["reconnect"]
    page.says("listen", token="alice")
    await turn()
    page.says("invite", callsid=SID, sdp="same", reconnect=proof, twilio={})
    page.says("dtmf", callsid=SID, dtmf="5")
    assert world.leg.told == [("offered", "same"), ("pressed", "5")]


@pytest.mark.parametrize(
    ("token", "change"),
    [
        ("alice", {"reconnect": "proof 2"}),
        ("alice", {"reconnect": "prööf"}),
        ("alice", {"callsid": "CA" + "9" * 32}),
        ("bob", {}),
        ("theirs", {}),
    ],
)
async def test_nobody_else_takes_a_call_up(token: str, change: dict[str, Any]) -> None:
    world = World()
    page = await comes(world)
    await calls(world, page)
    proof = page.hears()[-1][1]["reconnect"]
    stranger = await comes(world, token)
    stranger.hears()
    payload = {"callsid": SID, "sdp": "mine", "reconnect": proof, "twilio": {}, **change}
    stranger.says("invite", **payload)
    ((kind, told),) = stranger.hears()
    assert (kind, told["error"]["code"]) == ("hangup", Code.NOT_RECONNECTED)
    for kind, more in (("hangup", {}), ("dtmf", {"dtmf": "1"}), ("reinvite", {"sdp": "mine"})):
        stranger.says(kind, callsid=SID, **more)
    assert world.leg.told == []


async def test_who_does_not_come_back_in_time_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialogue, "AWAY", 0.0)
    world = World()
    page = await comes(world)
    await calls(world, page)
    page.client.drop()
    await asyncio.sleep(0.005)
    assert world.leg.told == [("lost", dialogue.LOST)]
    assert world.desk.ledger() == EMPTY


async def test_a_call_that_nobody_answered_goes_with_its_socket() -> None:
    world = World()
    page = await comes(world)
    page.says("invite", callsid="TJS1", sdp="v=0", twilio={})
    page.client.drop()
    assert world.leg.told == [("lost", dialogue.UNANSWERED)]


async def test_whose_key_is_gone_hears_so_unasked_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bearers, "LOOK_EVERY", 0.001)
    world = World()
    world.tokens["newer"] = Allowed(key_sid="SK" + "6" * 32)
    page, other = await comes(world), await comes(world, "newer")
    await calls(world, page)
    for each in (page, other):
        each.hears()
    world.gone.add(KEY)
    await asyncio.sleep(0.02)
    (kind, told), offline = page.hears()
    assert (kind, told["error"]["code"], offline) == ("error", Code.BAD_TOKEN, ("offline", {}))
    assert other.hears() == []
    assert world.desk.of(OURS, "alice") == [other.client]
    page.says("dtmf", callsid=SID, dtmf="1")
    assert world.leg.told == [("pressed", "1")]
    page.says("listen", token="newer")
    await turn()
    page.says("register", media={"audio": True})
    assert [kind for kind, _ in page.hears()] == ["connected", "ready"]
    await asyncio.sleep(0.02)
    assert page.hears() == []
    for each in (page, other):
        each.client.drop()
    assert len(world.desk._bearers) == 0


async def rings(world: World, page: Page, sid: str = SID, leg: Leg | None = None) -> Dialogue:
    """Let it ring at a device that has heard all else."""
    page.hears()
    dialogue = page.client.open(sid, f"{sid}.1", leg or world.leg)
    dialogue.invite("offer", {"From": "client:bob"})
    assert [kind for kind, _ in page.hears()] == ["invite"]
    return dialogue


async def test_a_device_that_rings_and_drops_rings_anew_when_it_is_back() -> None:
    """What rang before the SDK takes no more, so it hears that this is off."""
    world = World()
    page, other = await comes(world), await comes(world)
    other.client.agent = "2.18.5 another browser"
    await rings(world, page)
    page.client.drop()
    assert world.leg.told == []
    await comes(world, "bob")
    back, late = await comes(world), await comes(world)
    (_, ready, cancel, (kind, invite)) = back.hears()
    assert (ready, cancel) == (("ready", {}), ("cancel", {"callsid": SID}))
    assert (kind, invite["callsid"], invite["sdp"]) == ("invite", SID, "offer")
    assert invite["parameters"] == {"From": "client:bob"}
    assert [kind for kind, _ in late.hears()] == ["connected", "ready"]
    back.says("register", media={"audio": True})
    assert back.hears() == [("ready", {})]
    back.says("answer", callsid=SID, sdp="yes")
    assert world.leg.told == [("answered", "yes")]


async def test_two_devices_that_ring_and_come_back_ring_once_each() -> None:
    """They look the same, and each call is one SID; what one answers the other does not end."""
    world = World()
    pages = [await comes(world) for _ in range(2)]
    dialogues = [await rings(world, page) for page in pages]
    for page in pages:
        page.client.drop()
    back = [await comes(world) for _ in range(2)]
    for page in back:
        assert [kind for kind, _ in page.hears()] == ["connected", "ready", "cancel", "invite"]
    back[0].says("answer", callsid=SID, sdp="yes")
    dialogues[1].cancel()
    assert [page.hears() for page in back] == [[], [("cancel", {"callsid": SID})]]
    back[0].says("hangup", callsid=SID)
    assert [kind for kind, _ in world.leg.told] == ["answered", "hung up"]


async def test_what_rang_is_given_to_nobody_who_takes_no_calls() -> None:
    world = World()
    page = await comes(world)
    await rings(world, page)
    page.client.drop()
    caller = Page(world)
    caller.says("listen", token="alice")
    await turn()
    assert [kind for kind, _ in caller.hears()] == ["connected"]
    back = await comes(world)
    assert [kind for kind, _ in back.hears()][-1] == "invite"


async def test_a_ring_that_is_over_ends_no_call_of_another_device() -> None:
    """One rang and was closed, the other answered, lost its socket and is back."""
    world = World()
    pages = [await comes(world) for _ in range(2)]
    dialogues = [await rings(world, page) for page in pages]
    pages[0].client.drop()
    pages[1].says("answer", callsid=SID, sdp="yes")
    dialogues[0].cancel()
    pages[1].client.drop()
    back = await comes(world)
    assert [kind for kind, _ in back.hears()] == ["connected", "ready"]


async def test_an_answer_that_was_under_way_as_the_socket_dropped_counts() -> None:
    """The SDK says it again on the next socket, before that is registered."""
    world = World()
    page = await comes(world)
    await rings(world, page)
    page.client.drop()
    back = Page(world)
    back.says("listen", token="alice")
    back.says("answer", callsid=SID, sdp="yes")
    back.says("register", media={"audio": True})
    await turn()
    assert world.leg.told == [("answered", "yes")]
    assert [kind for kind, _ in back.hears()] == ["connected", "ready"]


async def test_a_device_that_is_back_hears_of_what_rings_no_more() -> None:
    world = World()
    page = await comes(world)
    dialogue = await rings(world, page)
    page.client.drop()
    dialogue.cancel()
    assert world.desk.ledger()["calls"] == 0
    stranger, back = await comes(world, "bob"), await comes(world)
    assert ("cancel", {"callsid": SID}) in back.hears()
    assert [kind for kind, _ in stranger.hears()] == ["connected", "ready"]


async def test_a_device_that_does_not_come_back_in_time_rings_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dialogue, "RINGS_ON", 0.0)
    world = World()
    page = await comes(world)
    await rings(world, page)
    page.client.drop()
    await asyncio.sleep(0.005)
    assert world.leg.told == [("lost", dialogue.UNTAKEN)]
    assert world.desk.ledger()["calls"] == 0
    assert ("cancel", {"callsid": SID}) in (await comes(world)).hears()


async def test_another_page_takes_a_call_and_the_one_that_had_it_hears_so() -> None:
    """`device.connect({ connectToken })`: of a call that is up, and of one that rings."""
    world = World()
    page, other = await comes(world), await comes(world)
    await calls(world, page)
    proof = page.hears()[-1][1]["reconnect"]
    other.says("invite", callsid=SID, sdp="mine", reconnect=proof, twilio={})
    assert page.hears() == [("hangup", {"callsid": SID})]
    ringing, sid = Leg(), "CA" + "7" * 32
    page.client.open(sid, f"{sid}.1", ringing).invite("offer", {})
    ((_, told),) = page.hears()
    other.says("invite", callsid=sid, sdp="mine too", reconnect=told["reconnect"], twilio={})
    assert page.hears() == [("cancel", {"callsid": sid})]
    page.says("hangup", callsid=SID)
    page.says("reject", callsid=sid)
    assert (world.leg.told, ringing.told) == ([("offered", "mine")], [("offered", "mine too")])


async def test_messages_of_a_client_are_told_that_they_are_safe_or_not() -> None:
    world = World()
    page = await comes(world)
    await calls(world, page)
    page.hears()
    said = {"content": {"a": "ü"}, "messagetype": USER_DEFINED}
    page.says("message", callsid=SID, voiceeventsid="KX1", **said)
    await turn()
    world.is_store_away = True
    page.says("message", callsid=SID, voiceeventsid="KX2", **said)
    await turn()
    ack, error = page.hears()
    assert ack == ("ack", {"acktype": "message", "callsid": SID, "voiceeventsid": "KX1"})
    assert (error[0], error[1]["voiceeventsid"]) == ("error", "KX2")
    ((account, sid, message),) = world.heard
    assert (account, sid, json.loads(message.content)) == (OURS, SID, {"a": "ü"})


async def test_the_ladder_has_what_passed_and_no_secrets() -> None:
    world = World()
    page = await comes(world)
    await calls(world, page)
    page.says("dtmf", callsid=SID, dtmf="4711")
    page.says("message", callsid=SID, voiceeventsid="KX1", content="hush", messagetype=USER_DEFINED)
    names = {name for name, _ in world.ladder}
    texts = [str(crossed.octets, "utf-8") for _, crossed in world.ladder]
    assert names == {f"{SID}.1"}
    first_words = [text.partition("\r\n")[0].split()[0] for text in texts]
    assert first_words == ["invite", "answer", "dtmf", "message"]
    assert [crossed.came for _, crossed in world.ladder] == [True, False, True, True]
    assert all(f"\r\nCall-ID: {SID}.1\r\n" in text for text in texts)
    assert texts[0].endswith("\r\n\r\nv=0")
    assert texts[1].endswith("\r\n\r\nours")
    for secret in ("proof", "4711", "hush"):
        assert secret not in "".join(texts)


async def test_a_client_that_reads_nothing_is_closed() -> None:
    world = World()
    page = await comes(world)
    for _ in range(600):
        page.client.say("ringing", SID, {})
    assert page.client.closed is not None
    assert len(page.client.outbox) < 600


async def test_who_goes_down_tells_everybody_and_takes_no_calls() -> None:
    world = World()
    page = await comes(world)
    page.hears()
    world.desk.drain()
    page.says("invite", callsid="TJS1", sdp="v=0", twilio={})
    await world.desk.close()
    assert [told["error"]["code"] for _, told in page.hears()] == [
        Code.OVERLOADED,
        Code.TRANSPORT,
    ]
    assert page.client.closed is not None
