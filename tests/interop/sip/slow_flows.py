"""The flows that take what they take: refreshes of sessions, and time-outs.

Sessions last as long as RFC 4028 has them last at least, and a transaction ends after the 64 T1 of
RFC 3261.
"""

from typing import Final

from tests.interop.sip.flow import AUDIO, Answer, Ask, Hear, Rest, Stay, Step, Steps
from tests.interop.sip.flows import (
    HANGING_UP,
    HUNG_UP,
    Flow,
    answering,
    calling,
    reoffering,
)

TIMER: Final = "Supported: timer"
_SECONDS: Final = 90  # the least that RFC 4028 allows


def session_expires(refresher: str) -> str:
    """The header, for the least time."""
    return f"Session-Expires: {_SECONDS};refresher={refresher}"


def _refreshing(times: int, header: str) -> Steps:
    """Refresh by UPDATE at half time."""
    once: Steps = (
        Rest(seconds=_SECONDS / 2),
        Ask(method="UPDATE", headers=(TIMER, header)),
        Hear(what="200", check={"Session-Expires:": str(_SECONDS)}),
    )
    return once * times


def _refreshed(times: int, header: str) -> Steps:
    """Be refreshed by UPDATE or by re-INVITE, in time."""
    steps: list[Step] = []
    for number in range(1, times + 1):
        begins = "" if number == 1 else f"after{number - 1}"
        steps += [
            Hear(
                what="UPDATE",
                optional=True,
                check={"Session-Expires:": str(_SECONDS)},
                patience=_SECONDS * 0.7,
                label=begins,
                then=f"updated{number}",
            ),
            Hear(what="INVITE", check={"Session-Expires:": str(_SECONDS)}),
            Answer(status=200, reason="OK", sdp=AUDIO, headers=("Require: timer", header)),
            Hear(what="ACK", then=f"after{number}"),
            Answer(
                status=200,
                reason="OK",
                headers=("Require: timer", header),
                label=f"updated{number}",
            ),
        ]
    return (*steps, Rest(seconds=0.5, label=f"after{times}"))


def timed(refresher: str, *, times: int) -> Flow:
    """`times` refreshes, and then the caller hangs up; `refresher` is "uac" or "uas"."""
    asked = (TIMER, session_expires(refresher), f"Min-SE: {_SECONDS}")
    header = session_expires(refresher)
    agreed = Hear(what="200", check={"Session-Expires:": f"{_SECONDS}.*refresher={refresher}"})
    called = (*calling(headers=asked)[:-2], agreed, Ask(method="ACK"))
    taken = answering(headers=("Require: timer", header))
    # Within the dialog the one who asks is the uac, whoever made the call.
    refreshing, refreshed = (
        _refreshing(times, session_expires("uac")),
        _refreshed(times, session_expires("uac")),
    )
    if refresher == "uac":
        return Flow(
            caller=(*called, *refreshing, *HANGING_UP), callee=(*taken, *refreshed, *HUNG_UP)
        )
    return Flow(caller=(*called, *refreshed, *HANGING_UP), callee=(*taken, *refreshing, *HUNG_UP))


def too_short(least: int = _SECONDS) -> Flow:
    """RFC 4028 §6: `least` seconds or none."""
    asked = (TIMER, f"Session-Expires: {least};refresher=uac", f"Min-SE: {least}")
    return Flow(
        caller=(
            Ask(method="INVITE", sdp=AUDIO, headers=(TIMER, "Session-Expires: 60")),
            Hear(what="100", optional=True),
            Hear(what="422", check={"Min-SE:": str(least)}),
            Ask(method="ACK"),
            *calling(headers=asked),
            Rest(seconds=0.5),
            *HANGING_UP,
        ),
        callee=(
            Hear(what="INVITE"),
            Answer(status=422, reason="Session Interval Too Small", headers=(f"Min-SE: {least}",)),
            Hear(what="ACK"),
            Hear(what="INVITE", check={"Session-Expires:": str(least), "Min-SE:": str(least)}),
            Answer(
                status=200,
                reason="OK",
                sdp=AUDIO,
                headers=("Require: timer", f"Session-Expires: {least};refresher=uac"),
            ),
            Hear(what="ACK"),
            *HUNG_UP,
        ),
    )


TOO_SHORT: Final = too_short()


# -- a refresh of ours crosses an offer ------------------------------------------------------------


def _crossing(header: str) -> Steps:
    """RFC 3261 §14.1: refuse a refresh while an offer of one's own is refused, and settle."""
    answer = ("Require: timer", header)
    expires = {"Session-Expires:": str(_SECONDS)}
    return (
        Hear(what="INVITE", check=expires, patience=_SECONDS * 0.7),
        Ask(method="INVITE", sdp=AUDIO, again=0),  # sipp hears no request while it repeats one
        Hear(what="100", optional=True),
        Hear(what="491"),
        Ask(method="ACK"),
        Answer(status=491, reason="Request Pending", invite="late"),
        Hear(what="ACK"),
        *reoffering(AUDIO, headers=(TIMER, session_expires("uas"))),
        Hear(what="INVITE", check=expires),
        Answer(status=200, reason="OK", sdp=AUDIO, headers=answer),
        Hear(what="ACK"),
        Rest(seconds=0.5),
    )


CROSSED: Final = Flow(
    caller=(
        *calling(headers=(TIMER, session_expires("uas"), f"Min-SE: {_SECONDS}")),
        *_crossing(session_expires("uac")),
        *HANGING_UP,
    ),
    callee=(
        *answering(headers=("Require: timer", session_expires("uac"))),
        *_crossing(session_expires("uac")),
        *HANGING_UP,
    ),
)


# -- nothing comes ---------------------------------------------------------------------------------

_TIMEOUT: Final = 45.0  # seconds: 64 T1, and some
SILENT: Final = Flow(  # nobody answers an INVITE, not even with a 100
    caller=(
        Ask(method="INVITE", sdp=AUDIO),
        Hear(what="100", optional=True, patience=_TIMEOUT),
        Hear(what="480", patience=_TIMEOUT),
        Ask(method="ACK"),
        Stay(),
    ),
    callee=(Hear(what="INVITE"), Stay(seconds=35)),
)
RINGS_ON: Final = Flow(  # RFC 3665 §3.11's other half: it rings until who calls has had enough
    caller=(
        Ask(method="INVITE", sdp=AUDIO),
        Hear(what="100", optional=True),
        Hear(what="180"),
        Hear(what="480", patience=_TIMEOUT),
        Ask(method="ACK"),
        Stay(),
    ),
    callee=(
        Hear(what="INVITE"),
        Answer(status=180, reason="Ringing"),
        Hear(what="CANCEL", patience=_TIMEOUT),
        Answer(status=200, reason="OK"),
        Answer(status=487, reason="Request Terminated", invite="late"),
        Hear(what="ACK"),
        Stay(),
    ),
)
NEVER_ACKNOWLEDGED: Final = Flow(  # RFC 3261 §13.3.1.4
    caller=(*calling()[:-1], Hear(what="BYE", patience=_TIMEOUT), *HUNG_UP[1:]),
    callee=(
        *answering()[:-1],
        Hear(what="ACK"),
        Hear(what="BYE", patience=_TIMEOUT),
        *HUNG_UP[1:],
    ),
)
