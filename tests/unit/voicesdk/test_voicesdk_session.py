"""One socket of the Voice SDK on a held clock: what comes, what is told, what is too much."""

import json
from typing import Any

import pytest

from protocols.voicesdk import events
from protocols.voicesdk.errors import Code, Fault, LocalProtocolError, fault_of_sip
from protocols.voicesdk.events import Closed, CloseReason
from protocols.voicesdk.session import USER_DEFINED, Limits, Session

SDP = "v=0\r\n"
TEMPORARY = "TJS0d5a"
SID = "CA" + "1" * 32


class Client:
    """A client at one end, the session at the other, and a clock that is set by hand."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.now = 100.0
        self.session = Session(self.now, limits or Limits())

    def says(self, kind: str, **payload: Any) -> None:
        text = json.dumps({"type": kind, "payload": payload, "version": "1.6"})
        self.session.receive_text(text, self.now)

    def hears(self) -> list[tuple[str, dict[str, Any]]]:
        frames = self.session.data_to_send()
        told = [json.loads(each) if each != "\n" else {"type": "\n"} for each in frames]
        return [(each["type"], each.get("payload", {})) for each in told]

    def did(self) -> list[events.Event]:
        return list(iter(self.session.next_event, None))

    def waits(self, seconds: float) -> None:
        """Let time pass, and what is due with it."""
        end = self.now + seconds
        while (due := self.session.timer()) is not None and due <= end:
            self.now = max(due, self.now)
            self.session.handle_timer(self.now)
        self.now = end


def connected(limits: Limits | None = None, ttl: float = 3600) -> Client:
    client = Client(limits)
    client.says("listen", token="tok", reconnectTimeout=30, browserinfo={"v": "2.18.5"})
    client.did()
    client.session.connect(client.now, identity="alice", ttl=ttl, gateway="gw", edge="here")
    client.hears()
    return client


def test_a_token_is_told_and_what_is_said_meanwhile_waits() -> None:
    client = Client()
    browser = {"userAgent": "Chrome", "platform": "Linux"}
    client.says(
        "listen", token="tok", reconnectTimeout=99, browserinfo={"browser": browser, "v": "2.18.5"}
    )
    client.says("register", media={"audio": True})
    assert client.did() == [events.Listened(token="tok", agent="2.18.5 Chrome")]
    client.session.connect(client.now, identity="alice", ttl=60.7, gateway="gw", edge="e")
    assert client.hears() == [
        (
            "connected",
            {
                "token": {"identity": "alice", "ttl": 60},
                "gateway": "gw",
                "edge": "e",
                "region": "e",
                "home": "e",
            },
        )
    ]
    assert client.did() == [events.Registered()]
    client.session.ready(client.now)
    assert client.hears() == [("ready", {})]


def test_nothing_counts_before_a_token() -> None:
    client = Client()
    client.says("register", media={"audio": True})
    client.says("invite", callsid=TEMPORARY, sdp=SDP, twilio={})
    assert client.did() == []
    assert [said["error"]["code"] for _, said in client.hears()] == [31204, 31204]


def test_a_refused_token_ends_it_and_a_refused_newer_one_does_not() -> None:
    client = Client()
    client.says("listen", token="bad")
    client.did()
    client.session.refuse(Fault(code=Code.BAD_TOKEN, message="no"), client.now)
    assert client.hears() == [("error", {"error": {"code": 31204, "message": "no"}})]
    assert client.did() == [Closed(reason=CloseReason.REFUSED, status=1008)]

    client = connected()
    client.says("listen", token="bad")
    client.session.refuse(Fault(code=Code.BAD_TOKEN, message="no"), client.now)
    assert client.session.is_connected


def test_what_is_denied_meanwhile_does_not_lose_a_newer_token() -> None:
    client = connected(ttl=60)
    client.says("listen", token="newer")
    client.session.deny(Fault(code=Code.UNAUTHORIZED, message="no grant"), client.now)
    client.session.connect(client.now, identity="alice", ttl=60, gateway="gw", edge="e")
    (kind, said), (then, _) = client.hears()
    assert (kind, said["error"]["code"], then) == ("error", Code.UNAUTHORIZED, "connected")


def test_a_token_that_runs_out_ends_it_unless_a_newer_one_comes() -> None:
    client = connected(ttl=60)
    for _ in range(2):
        client.waits(20)
        client.says("register", media={"audio": True})
    client.says("listen", token="newer")
    client.session.connect(client.now, identity="alice", ttl=60, gateway="gw", edge="e")
    client.did()
    for _ in range(4):
        client.waits(20)
        client.session.receive_text("\n", client.now)
    assert client.session.is_connected
    assert client.did() == [events.Unregistered()]
    client.waits(20)
    assert client.did() == [Closed(reason=CloseReason.EXPIRED, status=1008)]
    told = [said["error"]["code"] for kind, said in client.hears() if kind == "error"]
    assert told == [Code.TOKEN_EXPIRED] * 2


def test_a_token_that_is_doubted_is_told_once_and_ends_it_unless_a_newer_one_comes() -> None:
    client = connected(ttl=3600)
    gone = Fault(code=Code.BAD_TOKEN, message="its key is gone")
    for _ in range(2):
        client.session.doubt(gone, client.now)
    assert client.did() == [events.Unregistered()]
    client.says("listen", token="newer")
    client.session.connect(client.now, identity="alice", ttl=3600, gateway="gw", edge="e")
    client.did()
    client.waits(20)
    client.session.receive_text("\n", client.now)
    client.waits(20)
    assert client.session.is_connected
    client.session.doubt(gone, client.now)
    client.session.receive_text("\n", client.now)
    client.waits(29)
    assert client.did() == [events.Unregistered()]
    client.session.receive_text("\n", client.now)
    client.waits(1)
    assert client.did() == [Closed(reason=CloseReason.EXPIRED, status=1008)]
    told = [said["error"]["code"] for kind, said in client.hears() if kind == "error"]
    assert told == [Code.BAD_TOKEN] * 3


def test_a_call_goes_on_when_the_token_runs_out() -> None:
    client = connected(ttl=60)
    client.session.adopt(SID)
    for _ in range(20):
        client.waits(20)
        client.session.receive_text("\n", client.now)
    client.says("dtmf", callsid=SID, dtmf="1")
    assert client.did() == [events.Unregistered(), events.Pressed(callsid=SID, digits="1")]
    client.session.hang_up(SID, client.now)
    client.waits(25)
    client.session.receive_text("\n", client.now)
    client.waits(10)
    assert client.did() == [Closed(reason=CloseReason.EXPIRED, status=1008)]


def test_a_heartbeat_goes_out_when_nothing_else_did_and_an_answer_keeps_it_up() -> None:
    client = connected()
    for _ in range(10):
        client.waits(8)
        assert client.hears() == [("\n", {})]
        client.session.receive_text("\n", client.now)
    assert client.did() == []


def test_a_client_that_answers_no_heartbeat_is_let_go() -> None:
    client = connected()
    client.waits(29.9)
    assert client.did() == []
    client.waits(0.2)
    assert client.did() == [Closed(reason=CloseReason.SILENT, status=1001)]
    assert client.session.timer() is None


def test_a_socket_without_a_token_is_closed() -> None:
    client = Client()
    client.session.receive_text("\n", client.now)
    client.waits(10)
    assert client.did() == [Closed(reason=CloseReason.NEVER_LISTENED, status=1008)]


def test_a_call_goes_out_with_its_parameters_under_either_name() -> None:
    client = connected()
    client.says(
        "invite", callsid=TEMPORARY, sdp=SDP, twilio={"params": "To=%2B1555&who=%C3%9Cnal%20B&e="}
    )
    assert client.did() == [
        events.Invited(
            callsid=TEMPORARY, sdp=SDP, parameters=(("To", "+1555"), ("who", "Ünal B"), ("e", ""))
        )
    ]
    session = client.session
    session.name(TEMPORARY, SID)
    session.ring(SID, client.now)
    session.ring(SID, client.now, sdp="early")
    session.answer(SID, client.now, sdp="ours", reconnect="r")
    assert client.hears() == [
        ("ringing", {"callsid": SID}),
        ("ringing", {"callsid": SID, "sdp": "early"}),
        ("answer", {"callsid": SID, "sdp": "ours", "reconnect": "r"}),
    ]
    client.says("dtmf", callsid=TEMPORARY, dtmf="12#w")
    client.says("hangup", callsid=SID, message="bye")
    assert client.did() == [
        events.Pressed(callsid=SID, digits="12#w"),
        events.HungUp(callsid=SID, message="bye"),
    ]


def test_a_call_that_is_refused_at_once_is_so_under_the_name_that_the_client_knows() -> None:
    client = connected()
    client.session.name(TEMPORARY, SID)
    client.session.hang_up(SID, client.now, Fault(code=31404, message="nobody"))
    assert client.hears() == [
        ("hangup", {"callsid": TEMPORARY, "error": {"code": 31404, "message": "nobody"}})
    ]
    assert client.session.calls == frozenset()


def test_a_call_comes_in_and_is_answered_rejected_or_cancelled() -> None:
    client = connected()
    parameters = {"CallSid": SID, "From": "client:bob"}
    client.session.invite(SID, client.now, sdp=SDP, reconnect="r", parameters=parameters)
    assert client.hears() == [
        ("invite", {"callsid": SID, "sdp": SDP, "reconnect": "r", "parameters": parameters})
    ]
    client.says("answer", callsid=SID, sdp="theirs")
    client.says("reinvite", callsid=SID, sdp="again")
    client.says("reject", callsid=SID)
    assert client.did() == [
        events.Answered(callsid=SID, sdp="theirs"),
        events.Reinvited(callsid=SID, sdp="again"),
        events.Rejected(callsid=SID),
    ]
    client.session.cancel(SID, client.now)
    assert client.hears() == [("cancel", {"callsid": SID})]


def test_who_is_back_says_which_call_and_proves_it() -> None:
    client = connected()
    client.says("invite", callsid=SID, sdp=SDP, reconnect="proof", twilio={})
    (event,) = client.did()
    assert event == events.Reconnected(callsid=SID, sdp=SDP, reconnect="proof")
    assert "proof" not in repr(event)
    client.session.adopt(SID)
    client.says("dtmf", callsid=SID, dtmf="1")
    assert client.did() == [events.Pressed(callsid=SID, digits="1")]


def test_messages_go_both_ways_as_they_were() -> None:
    client = connected()
    client.session.adopt(SID)
    client.says(
        "message", callsid=SID, content={"a": ["ü"]}, messagetype=USER_DEFINED, voiceeventsid="KX1"
    )
    (event,) = client.did()
    assert isinstance(event, events.Messaged)
    assert json.loads(event.content) == {"a": ["ü"]}
    assert event.content_type == "application/json"
    client.session.acknowledge(SID, client.now, "KX1")
    client.session.message(SID, client.now, event)
    assert client.hears() == [
        ("ack", {"acktype": "message", "callsid": SID, "voiceeventsid": "KX1"}),
        (
            "message",
            {
                "callsid": SID,
                "content": {"a": ["ü"]},
                "contenttype": "application/json",
                "messagetype": USER_DEFINED,
                "voiceeventsid": "KX1",
            },
        ),
    ]


@pytest.mark.parametrize(
    ("callsid", "more", "code"),
    [
        ("CAother", {}, Code.NOT_FOUND),
        (SID, {"messagetype": "other"}, Code.BAD_MESSAGE_TYPE),
        (SID, {"content": "x" * 10_240}, Code.MESSAGE_TOO_LARGE),
    ],
)
def test_messages_that_are_refused_say_which(callsid: str, more: dict[str, Any], code: int) -> None:
    client = connected()
    client.session.adopt(SID)
    payload = {"messagetype": USER_DEFINED, "voiceeventsid": "KX1", **more}
    client.says("message", callsid=callsid, **payload)
    assert client.did() == []
    ((kind, said),) = client.hears()
    assert (kind, said["voiceeventsid"], said["error"]["code"]) == ("error", "KX1", code)


def test_a_call_that_is_not_known_is_over() -> None:
    client = connected()
    for kind in ("hangup", "reject"):
        client.says(kind, callsid="CAother")
    client.says("dtmf", callsid="CAother", dtmf="1")
    assert client.hears() == []
    client.says("reinvite", callsid="CAother", sdp=SDP)
    ((kind, said),) = client.hears()
    assert (kind, said["callsid"], said["error"]["code"]) == ("hangup", "CAother", 31404)
    assert client.did() == []


def test_calls_are_bounded_and_a_name_is_taken_once() -> None:
    client = connected(Limits(calls=1))
    client.session.name(TEMPORARY, SID)
    client.says("invite", callsid=TEMPORARY, sdp=SDP, twilio={})
    client.says("invite", callsid="TJS2", sdp=SDP, twilio={})
    assert client.did() == []
    assert [kind for kind, _ in client.hears()] == ["error", "hangup"]


def test_no_register_is_no_presence_and_offline_is_told() -> None:
    client = connected()
    client.says("register", media={"audio": False})
    client.says("register")
    assert client.did() == [events.Unregistered(), events.Unregistered()]
    client.session.offline(client.now)
    assert client.hears() == [("offline", {})]


GARBAGE = [
    "",
    "{",
    "null",
    "[]",
    '"listen"',
    "{}",
    '{"type": 5}',
    '{"type": "listen", "payload": []}',
    '{"type": "listen", "payload": {"token": {}}}',
    '{"type": "invite", "payload": {"callsid": "TJS1"}}',
    '{"type": "invite", "payload": {"callsid": "", "sdp": "v"}}',
    '{"type": "invite", "payload": {"callsid": ["TJS"], "sdp": "v"}}',
    '{"type": "invite", "payload": {"callsid": "TJS1", "sdp": "v", "twilio": 5}}',
    '{"type": "answer", "payload": {"callsid": "CA1", "sdp": 1}}',
    '{"type": "dtmf", "payload": {"callsid": "CA1", "dtmf": "x"}}',
    '{"type": "dtmf", "payload": {"callsid": "CA1", "dtmf": ""}}',
    '{"type": "hangup", "payload": {}}',
    '{"type": "hangup", "payload": {"callsid": "\\ud800"}}',
    "[" * 10_000,
    '{"type": "message", "payload": {"callsid": "CA1", "content": ' + "[" * 60_000,
]


@pytest.mark.parametrize("text", GARBAGE)
def test_what_cant_be_read_is_31100_and_the_session_goes_on(text: str) -> None:
    client = connected()
    client.session.adopt("CA1")
    client.session.receive_text(text, client.now)
    assert client.did() == []
    ((kind, said),) = client.hears()
    assert (kind, said["error"]["code"]) == ("error", Code.MALFORMED)
    client.says("register", media={"audio": True})
    assert client.did() == [events.Registered()]


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_message_that_is_cut_is_none(cut: int) -> None:
    client = connected()
    whole = json.dumps({"type": "hangup", "payload": {"callsid": SID}, "version": "1.6"})
    client.session.adopt(SID)
    client.session.receive_text(whole[:cut], client.now)
    assert client.did() == []
    assert client.hears()[0][0] == "error"


def test_too_much_garbage_ends_it() -> None:
    client = connected()
    for _ in range(10):
        client.session.receive_garbage(client.now)
    assert client.did() == [Closed(reason=CloseReason.MALFORMED, status=1007)]
    client.says("register", media={"audio": True})
    assert client.did() == []


def test_what_is_not_known_is_passed_over() -> None:
    client = connected()
    client.says("publish", anything=[1, 2])
    assert (client.did(), client.hears()) == ([], [])


def test_too_many_parameters_or_too_long_ones_are_31103() -> None:
    client = connected()
    long = "&".join(f"p{number}=1" for number in range(101))
    for params in (long, "p=" + "x" * 9000):
        client.says("invite", callsid=TEMPORARY, sdp=SDP, twilio={"params": params})
    assert client.did() == []
    codes = [said["error"]["code"] for _, said in client.hears()]
    assert codes == [Code.PARAMETERS_TOO_LONG] * 2


def test_who_sends_too_much_is_let_go() -> None:
    client = connected(Limits(rate=10, burst=20))
    for _ in range(30):
        client.session.receive_text("\n", client.now)
    assert client.did() == [Closed(reason=CloseReason.TOO_OFTEN, status=1008)]
    assert client.hears()[-1][1]["error"]["code"] == Code.TOO_OFTEN


def test_a_steady_client_may_send_for_ever() -> None:
    client = connected(Limits(rate=10, burst=20))
    for _ in range(200):
        client.waits(0.1)
        client.session.receive_text("\n", client.now)
    assert client.session.is_connected


def test_what_waits_for_the_token_is_bounded() -> None:
    client = Client(Limits(waiting=3))
    client.says("listen", token="tok")
    for _ in range(10):
        client.says("register", media={"audio": True})
    client.did()
    client.session.connect(client.now, identity="a", ttl=60, gateway="", edge="")
    assert client.did() == [events.Registered()] * 3


def test_nothing_is_said_after_the_end() -> None:
    client = connected()
    client.session.close(client.now)
    client.did()
    client.session.ring(SID, client.now)
    client.says("listen", token="again")
    assert (client.hears(), client.did()) == ([], [])


def test_a_token_that_nobody_showed_is_not_accepted() -> None:
    with pytest.raises(LocalProtocolError):
        Client().session.connect(0, identity="a", ttl=1, gateway="", edge="")


def test_codes_of_sip_stand_behind_31() -> None:
    assert fault_of_sip(486, "busy") == Fault(code=31486, message="busy")
    assert fault_of_sip(603, "no") == Fault(code=31603, message="no")
    assert fault_of_sip(0, "lost") == Fault(code=31005, message="lost")
