"""The flows of RFC 3665 and RFC 5359, and those of the RFCs that calls of today need.

Each is a pair of sides. A side holds to what its RFC draws, and takes what another stack may do as
well: a 100 or none, a provisional response more.
"""

from dataclasses import dataclass
from typing import Any, Final

from tests.interop.sip.flow import AUDIO, Answer, Ask, Hear, Rest, Sdp, Stay, Steps

ON_HOLD: Final = Sdp(direction="sendonly")
LISTENING: Final = Sdp(direction="recvonly")
_PROGRESS: Final[Steps] = tuple(
    Hear(what=what, optional=True) for what in ("100", "180", "183", "181")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """What the caller does, and what the callee does."""

    caller: Steps
    callee: Steps


def calling(*, headers: tuple[str, ...] = (), sdp: Sdp | None = AUDIO) -> Steps:
    """A call that is answered, up to the ACK."""
    return (
        Ask(method="INVITE", sdp=sdp, headers=headers),
        *_PROGRESS,
        Hear(what="200", check={"Content-Type:": "application/sdp"}),
        Ask(method="ACK", sdp=None if sdp else AUDIO),
    )


def proving(*headers: str) -> Steps:
    """A call of a phone that is asked for its password first, up to the ACK."""
    return (
        Ask(method="INVITE", sdp=AUDIO, headers=headers),
        Hear(what="100", optional=True),
        Hear(what="401", optional=True, challenge=True, then="proven"),
        Hear(what="407", challenge=True),
        Ask(method="ACK", label="proven"),
        Ask(method="INVITE", sdp=AUDIO, headers=headers, credentials="[authentication]"),
        *_PROGRESS,
        Hear(what="200"),
        Ask(method="ACK"),
    )


def answering(
    *, headers: tuple[str, ...] = (), sdp: Sdp | None = AUDIO, ringing: float = 0.2
) -> Steps:
    """Taking a call after `ringing` seconds, up to the ACK."""
    return (
        Hear(what="INVITE"),
        Answer(status=180, reason="Ringing"),
        Rest(seconds=ringing),
        Answer(status=200, reason="OK", sdp=sdp, headers=headers),
        Hear(what="ACK"),
    )


HANGING_UP: Final[Steps] = (Ask(method="BYE"), Hear(what="200"))
HUNG_UP: Final[Steps] = (Hear(what="BYE"), Answer(status=200, reason="OK"), Stay())

ESTABLISHED: Final = Flow(  # RFC 3665 §3.1
    caller=(*calling(), Rest(seconds=0.5), *HANGING_UP),
    callee=(*answering(), *HUNG_UP),
)
HUNG_UP_BY_CALLEE: Final = Flow(
    caller=(*calling(), *HUNG_UP),
    callee=(*answering(), Rest(seconds=0.5), *HANGING_UP),
)
LATE_ACK: Final = Flow(  # the answer comes again until it is acknowledged
    caller=(*calling()[:-1], Rest(seconds=1.8), Ask(method="ACK"), Rest(seconds=0.3), *HANGING_UP),
    callee=ESTABLISHED.callee,
)
LATE_OFFER: Final = Flow(  # RFC 3665 §3.6: the offer in the 200, its answer in the ACK
    caller=(*calling(sdp=None), Rest(seconds=0.5), *HANGING_UP),
    callee=(
        *answering()[:-1],
        Hear(what="ACK", check={"Content-Type:": "application/sdp"}),
        *HUNG_UP,
    ),
)
EARLY_MEDIA: Final = Flow(
    caller=(
        Ask(method="INVITE", sdp=AUDIO),
        Hear(what="100", optional=True),
        Hear(what="183", check={"Content-Type:": "application/sdp"}),
        Hear(what="180", optional=True),
        Hear(what="200"),
        Ask(method="ACK"),
        Rest(seconds=0.5),
        *HANGING_UP,
    ),
    callee=(
        Hear(what="INVITE"),
        Answer(status=183, reason="Session Progress", sdp=AUDIO),
        Rest(seconds=1),
        Answer(status=200, reason="OK", sdp=AUDIO),
        Hear(what="ACK"),
        *HUNG_UP,
    ),
)


# -- refusals and withdrawals --------------------------------------------------------------------


def refused(status: int, reason: str, *, seen: int = 0, headers: tuple[str, ...] = ()) -> Flow:
    """RFC 3665 §3.9, §3.11 and their like; `seen` is what the caller gets of it."""
    return Flow(
        caller=(
            Ask(method="INVITE", sdp=AUDIO),
            *_PROGRESS,
            Hear(what=str(seen or status)),
            Ask(method="ACK"),
            Stay(),
        ),
        callee=(
            Hear(what="INVITE"),
            Answer(status=180, reason="Ringing"),
            Answer(status=status, reason=reason, headers=headers),
            Hear(what="ACK"),
            Stay(),
        ),
    )


BUSY: Final = refused(486, "Busy Here")  # RFC 3665 §3.9
UNAVAILABLE: Final = refused(480, "Temporarily Unavailable")  # RFC 3665 §3.11
DECLINED: Final = refused(603, "Decline")
REDIRECTED: Final = refused(  # RFC 3665 §3.6
    302, "Moved Temporarily", headers=("Contact: <sip:callee@{elsewhere};transport=udp>",)
)
_WITHDRAWN: Final[Steps] = (
    Ask(method="INVITE", sdp=AUDIO),
    Hear(what="100", optional=True),
    Hear(what="180"),
    Rest(seconds=0.3),
    Ask(method="CANCEL"),
)
NO_ANSWER: Final = Flow(  # RFC 3665 §3.8
    caller=(
        *_WITHDRAWN,
        # Two transactions: their answers may come in either order.
        Hear(what="487", optional=True, then="ended first"),
        Hear(what="200"),
        Hear(what="487"),
        Ask(method="ACK", then="over"),
        Ask(method="ACK", label="ended first"),
        Hear(what="200"),
        Stay(label="over"),
    ),
    callee=(
        Hear(what="INVITE"),
        Answer(status=180, reason="Ringing"),
        Hear(what="CANCEL"),
        Answer(status=200, reason="OK"),
        Answer(status=487, reason="Request Terminated", invite="late"),
        Hear(what="ACK"),
        Stay(),
    ),
)
CANCEL_CROSSES_ANSWER: Final = Flow(  # RFC 3261 §9.1: the answer was on its way
    caller=(
        *_WITHDRAWN,
        Hear(what="200"),
        Hear(what="200"),
        Ask(method="ACK"),
        *HANGING_UP,
    ),
    callee=(
        *NO_ANSWER.callee[:4],
        Answer(status=200, reason="OK", sdp=AUDIO, invite="late"),
        Hear(what="ACK"),
        *HUNG_UP,
    ),
)


# -- digest --------------------------------------------------------------------------------------


def challenged(status: int = 407, reason: str = "Proxy Authentication Required") -> Flow:
    """RFC 3665 §3.3: asked for credentials once; `digest.py` judges anna's."""
    asks, gives = (
        ("Proxy-Authenticate", "Proxy-Authorization")
        if status == 407
        else ("WWW-Authenticate", "Authorization")
    )
    challenge = (
        f'{asks}: Digest realm="loop.test", nonce="f84f1cec41e6cbe5aea9c8e88d359", qop="auth",'
        ' algorithm=MD5, opaque="5ccc069c403ebaf9f0171e9517f40e41"'
    )
    begun = (Ask(method="INVITE", sdp=AUDIO), Hear(what="100", optional=True))
    return Flow(
        caller=(
            *begun,
            Hear(what=str(status), challenge=True),
            Ask(method="ACK"),
            Ask(method="INVITE", sdp=AUDIO, credentials="[authentication]"),
            *_PROGRESS,
            Hear(what="200"),
            Ask(method="ACK"),
            Rest(seconds=0.5),
            *HANGING_UP,
        ),
        callee=(
            Hear(what="INVITE"),
            Answer(status=status, reason=reason, headers=(challenge,)),
            Hear(what="ACK"),
            Hear(
                what="INVITE",
                check={f"{gives}:": 'username="anna"'},
            ),
            Answer(status=180, reason="Ringing"),
            Answer(status=200, reason="OK", sdp=AUDIO),
            Hear(what="ACK"),
            *HUNG_UP,
        ),
    )


def registering(*headers: str, expires: str = "") -> Steps:
    """One REGISTER that is asked for credentials, and taken."""
    return (
        Ask(method="REGISTER", headers=headers),
        Hear(what="401", challenge=True),
        Ask(method="REGISTER", headers=headers, credentials="[authentication]"),
        Hear(what="200", check={"Contact:": expires} if expires else {}),
    )


HERE: Final = ("Contact: <sip:{user}@{contact}>", "Expires: 600")
THERE: Final = ("Contact: <sip:{user}@127.0.0.9:5070>", "Expires: 600")
NOWHERE: Final = ("Contact: *", "Expires: 0")
NEW_REGISTRATION: Final = registering(*HERE, expires="expires=")  # RFC 3665 §2.1
MORE_CONTACTS: Final = (  # RFC 3665 §2.2
    *NEW_REGISTRATION,
    *registering(*THERE, expires="127.0.0.9"),
)
CONTACTS_ASKED: Final = (  # RFC 3665 §2.3: a REGISTER without a Contact changes nothing
    *NEW_REGISTRATION,
    *registering("Subject: what is there", expires="{contact}"),
)
WITHDRAWN: Final = (*NEW_REGISTRATION, *registering(*NOWHERE))  # RFC 3665 §2.4
WRONG_PASSWORD: Final = (  # RFC 3665 §2.5
    *NEW_REGISTRATION[:3],
    Hear(what="401"),
    Stay(seconds=0.2),
)


# -- reliable provisional responses and UPDATE (RFC 3262, RFC 3311) -------------------------------


def reliable(*headers: str, update: Steps = ()) -> Flow:
    """A 183 that must be acknowledged; `update` is what the caller does before the answer."""
    updated: Steps = (Hear(what="UPDATE"), Answer(status=200, reason="OK", sdp=AUDIO))
    return Flow(
        caller=(
            Ask(method="INVITE", sdp=AUDIO, headers=headers),
            Hear(what="100", optional=True),
            Hear(what="183", take={"rseq": "RSeq:"}, check={"Require:": "100rel"}),
            Ask(method="PRACK", headers=("RAck:[$rseq] 1 INVITE",)),
            Hear(what="200"),
            *update,
            Hear(what="180", optional=True),
            Hear(what="200"),
            Ask(method="ACK"),
            Rest(seconds=0.5),
            *HANGING_UP,
        ),
        callee=(
            Hear(what="INVITE"),
            Answer(
                status=183,
                reason="Session Progress",
                sdp=AUDIO,
                headers=("Require: 100rel", "RSeq: 8807"),
            ),
            Hear(what="PRACK", check={"RAck:": "8807 [0-9]+ INVITE"}),
            Answer(status=200, reason="OK"),
            *(updated if update else ()),
            Rest(seconds=0.3),
            Answer(status=200, reason="OK", invite="late"),
            Hear(what="ACK"),
            *HUNG_UP,
        ),
    )


RELIABLE_IF_SUPPORTED: Final = reliable("Supported: 100rel")
RELIABLE_REQUIRED: Final = reliable("Require: 100rel")
UPDATED_EARLY: Final = reliable(
    "Supported: 100rel", update=(Ask(method="UPDATE", sdp=AUDIO), Hear(what="200"))
)


# -- within a call -------------------------------------------------------------------------------


def reoffering(sdp: Sdp, *, method: str = "INVITE", headers: tuple[str, ...] = ()) -> Steps:
    """A new offer that is taken."""
    asked = Ask(method=method, sdp=sdp, headers=headers)
    taken: Steps = (asked, Hear(what="100", optional=True), Hear(what="200"))
    return (*taken, Ask(method="ACK")) if method == "INVITE" else taken


def reoffered(sdp: Sdp, *, method: str = "INVITE", wanted: str = "a=") -> Steps:
    """Taking a new offer whose direction is `wanted`."""
    asked: Steps = (
        Hear(what=method, check={"Body": wanted}),
        Answer(status=200, reason="OK", sdp=sdp),
    )
    return (*asked, Hear(what="ACK")) if method == "INVITE" else asked


_HOLDING: Final = (
    Rest(seconds=0.5),
    *reoffering(ON_HOLD),
    Rest(seconds=0.5),
    *reoffering(AUDIO),
    Rest(seconds=0.3),
)
_HELD: Final = (*reoffered(LISTENING, wanted="a=sendonly"), *reoffered(AUDIO, wanted="a=sendrecv"))
HELD_BY_CALLER: Final = Flow(  # RFC 5359 §2.1
    caller=(*calling(), *_HOLDING, *HANGING_UP), callee=(*answering(), *_HELD, *HUNG_UP)
)
HELD_BY_CALLEE: Final = Flow(
    caller=(*calling(), *_HELD, *HUNG_UP), callee=(*answering(), *_HOLDING, *HANGING_UP)
)
UPDATED: Final = Flow(
    caller=(*calling(), Rest(seconds=0.5), *reoffering(AUDIO, method="UPDATE"), *HANGING_UP),
    callee=(*answering(), *reoffered(AUDIO, method="UPDATE"), *HUNG_UP),
)
GLARE: Final = Flow(  # RFC 3261 §14.1: two offers cross, both are refused, one comes again
    caller=(
        *calling(),
        Rest(seconds=0.5),
        Ask(method="INVITE", sdp=ON_HOLD, again=0),  # sipp hears no request while it repeats one
        Hear(what="INVITE"),
        Answer(status=491, reason="Request Pending"),
        Hear(what="ACK"),
        Hear(what="491"),
        Ask(method="ACK"),
        Rest(seconds=2.5),
        *reoffering(ON_HOLD),
        *HANGING_UP,
    ),
    callee=(
        *answering(),
        Hear(what="INVITE"),
        Ask(method="INVITE", sdp=AUDIO, again=0),
        Hear(what="100", optional=True),
        Hear(what="491"),
        Ask(method="ACK"),
        Answer(status=491, reason="Request Pending", invite="late"),
        Hear(what="ACK"),
        *reoffered(LISTENING, wanted="a=sendonly"),
        *HUNG_UP,
    ),
)


_LONG: Final = 170.0  # seconds: longer than any flow


def _talking(begun: Steps, seconds: float = _LONG) -> Steps:
    """Take every offer until it is over; hang up when there was nothing for so long."""
    first: dict[str, Any] = {"patience": seconds, "otherwise": "enough"}
    return (
        *begun,
        Hear(what="UPDATE", optional=True, **first, label="talk", then="updated"),
        Hear(what="INVITE", optional=True, **first, then="reoffered"),
        Hear(what="BYE", **first),
        Answer(status=200, reason="OK", then="over"),
        Ask(method="BYE", label="enough"),
        Hear(what="200", then="over"),
        Answer(status=200, reason="OK", sdp=AUDIO, label="updated", then="talk"),
        Answer(status=200, reason="OK", sdp=AUDIO, label="reoffered"),
        Hear(what="ACK", then="talk"),
        Stay(label="over"),
    )


def patient(
    *, headers: tuple[str, ...] = (), seconds: float = _LONG, ringing: float = 0.2
) -> Steps:
    """Take a call and every offer in it, until it is over or nothing came for so long."""
    return _talking(answering(headers=headers, ringing=ringing), seconds)


def waiting(*, headers: tuple[str, ...] = ()) -> Steps:
    """Call and take every offer, until it is over."""
    return _talking(calling(headers=headers))


# -- transfer (RFC 5359 §2.4 and §2.5, RFC 3515) ---------------------------------------------------


def _notified(*headers: str, fragment: str) -> Steps:
    return (
        Ask(
            method="NOTIFY",
            headers=("Event: refer", *headers),
            body=("message/sipfrag;version=2.0", fragment),
        ),
        Hear(what="200"),
    )


def news(said: str) -> Steps:
    """Hear how far a transfer is."""
    return (
        Hear(what="NOTIFY", check={"Event:": "refer", "Body": f"SIP/2.0 {said}"}),
        Answer(status=200, reason="OK"),
    )


TRANSFERRING: Final[Steps] = (
    Ask(method="REFER", headers=("Refer-To: <{elsewhere}>", "Referred-By: <{from}>")),
    Hear(what="202"),
    *news("100"),
    *news("180"),
    *news("200"),
)
TRANSFERRED: Final = Flow(
    caller=(*calling(), Rest(seconds=0.5), *TRANSFERRING, *HANGING_UP),
    callee=(
        *answering(),
        Hear(what="REFER", check={"Refer-To:": "{elsewhere}"}),
        Answer(status=202, reason="Accepted"),
        *_notified("Subscription-State: active;expires=60", fragment="SIP/2.0 100 Trying"),
        *_notified("Subscription-State: active;expires=60", fragment="SIP/2.0 180 Ringing"),
        *_notified("Subscription-State: terminated;reason=noresource", fragment="SIP/2.0 200 OK"),
        *HUNG_UP,
    ),
)


CALLS: Final[dict[str, Flow]] = {
    "established": ESTABLISHED,
    "hung up by the callee": HUNG_UP_BY_CALLEE,
    "late ACK": LATE_ACK,
    "late offer": LATE_OFFER,
    "early media": EARLY_MEDIA,
    "busy": BUSY,
    "unavailable": UNAVAILABLE,
    "declined": DECLINED,
    "redirected": REDIRECTED,
    "no answer": NO_ANSWER,
    "CANCEL crosses the answer": CANCEL_CROSSES_ANSWER,
    "challenged, 407": challenged(),
    "challenged, 401": challenged(401, "Unauthorized"),
    "reliable if supported": RELIABLE_IF_SUPPORTED,
    "reliable required": RELIABLE_REQUIRED,
    "updated early": UPDATED_EARLY,
    "held by the caller": HELD_BY_CALLER,
    "held by the callee": HELD_BY_CALLEE,
    "updated": UPDATED,
    "glare": GLARE,
    "transferred": TRANSFERRED,
}
