"""Invariant: whatever a client of the Voice SDK sends, its session stands or says why it closed.

- Messages that are bent, cut, of other types or out of order raise nothing, and what comes of them
  are events whose texts are within their bounds;
- all that is said is JSON of the client's version, or the heartbeat; an end is told once, and
  nothing after it; a session that is closed has no timer and no calls.
"""

import json
import random
from typing import Any, Final

from protocols.voicesdk import codec, events
from protocols.voicesdk.errors import Fault
from protocols.voicesdk.session import Limits, Session

_SID: Final = "CA" + "7" * 32
_VALUES: Final[tuple[Any, ...]] = (
    *(None, True, 0, -1, 1e308, "", "x" * 300, "\u0000", "é" * 70, [], {}, [[]], "TJS1", _SID),
    *({"params": "a=b&" * 60}, {"audio": True}, "12#w", "w" * 101, "v=0\r\n" * 9000),
)
_FIELDS: Final = (
    *("token", "reconnectTimeout", "browserinfo", "media", "callsid", "sdp", "twilio", "dtmf"),
    *("reconnect", "message", "content", "contenttype", "messagetype", "voiceeventsid"),
)
_KINDS: Final = (
    *("listen", "register", "invite", "answer", "reinvite", "dtmf", "message", "reject", "hangup"),
    *("publish", "", "connected"),
)
_WHOLE: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("listen", {"token": "t", "reconnectTimeout": 30}),
    ("register", {"media": {"audio": True}}),
    ("invite", {"callsid": "TJS1", "sdp": "v=0", "twilio": {"params": "To=1"}}),
    ("invite", {"callsid": _SID, "sdp": "v=0", "reconnect": "r"}),
    ("answer", {"callsid": _SID, "sdp": "v=0"}),
    ("dtmf", {"callsid": _SID, "dtmf": "1"}),
    ("hangup", {"callsid": "TJS1"}),
)


def check(seed: int) -> None:
    """One client's life."""
    chance = random.Random(seed)
    now = 0.0
    session = Session(now, Limits(malformed=chance.choice((3, 1000)), rate=chance.choice((5, 1e6))))
    ended = 0
    for _ in range(chance.randrange(1, 80)):
        now += chance.random() * chance.choice((0.01, 1, 9))
        if chance.random() < 0.1:
            session.receive_garbage(now)
        else:
            session.receive_text(_frame(chance), now)
        due = session.timer()
        if due is not None and due <= now:
            session.handle_timer(now)
        while (event := session.next_event()) is not None:
            ended += isinstance(event, events.Closed)
            _answer(session, event, now, chance)
        _look(session, ended)


def _frame(chance: random.Random) -> str:
    if chance.random() < 0.1:
        return codec.HEARTBEAT
    kind, payload = chance.choice(_WHOLE)
    payload = dict(payload)
    if chance.random() < 0.5:
        payload[chance.choice(_FIELDS)] = chance.choice(_VALUES)
    if chance.random() < 0.1:
        kind = chance.choice(_KINDS)
    text = json.dumps({"type": kind, "payload": payload, "version": "1.6"})
    if chance.random() < 0.2:
        at = chance.randrange(len(text))
        text = (
            text[:at]
            + chance.choice(("", '"', "{", "\ud7ff", "\\ud800", "[" * 2000))
            + text[at + chance.randrange(4) :]
        )
    return text


def _answer(session: Session, event: events.Event, now: float, chance: random.Random) -> None:
    """Do what may be done of an event, by chance."""
    match event:
        case events.Listened(token=token):
            assert 0 < len(token) <= 16 * 1024
            if chance.random() < 0.8:
                session.connect(now, identity="a", ttl=chance.choice((1, 90)), gateway="", edge="")
            else:
                session.refuse(Fault(code=31204, message="no"), now)
        case events.Invited(callsid=callsid, parameters=parameters):
            assert len(parameters) <= codec.MOST_PARAMETERS
            session.name(callsid, _SID)
            session.ring(_SID, now)
        case events.Pressed(digits=digits):
            assert 0 < len(digits) <= codec.LONGEST_KEYS
        case events.HungUp(callsid=callsid) | events.Rejected(callsid=callsid):
            session.forget(callsid)
        case events.Messaged(content=content):
            assert len(content) <= codec.LARGEST_MESSAGE
        case _:
            pass


def _look(session: Session, ended: int) -> None:
    for frame in session.data_to_send():
        assert frame == codec.HEARTBEAT or json.loads(frame)["version"] == codec.VERSION
    assert ended == session.is_closed
    assert len(session.calls) <= 20
    if session.is_closed:
        assert session.timer() is None
        assert not session.calls
