"""What REST wants of a conference, and how a room carries it out."""

from typing import TYPE_CHECKING

import msgspec

from gateway.calls.conference import Change
from twiml.outcome import Goto

if TYPE_CHECKING:
    from gateway.calls.room_run import Room

__all__ = ["ChangePerson", "ChangeRoom", "carry_out"]


class ChangeRoom(msgspec.Struct, frozen=True, kw_only=True, tag="room"):
    """Have all hear the document at `announce_url`, if that is not "", and end it if it `ends`."""

    ends: bool = False
    announce_url: str = ""
    announce_method: str = "POST"


class ChangePerson(msgspec.Struct, frozen=True, kw_only=True, tag="person"):
    """Change one who is in, by the SID of their call; None is no change.

    On hold they hear the document at `hold_url`, "" for music, and before it starts the one at
    `wait_url`, "" for silence; `removed` sends them out.
    """

    call_sid: str
    muted: bool | None = None
    hold: bool | None = None
    coached: str | None = None
    end_on_exit: bool | None = None
    beep_on_exit: bool | None = None
    hold_url: str = ""
    hold_method: str = "POST"
    wait_url: str | None = None
    wait_method: str = "POST"
    announce_url: str = ""
    announce_method: str = "POST"
    removed: bool = False


def carry_out(room: "Room", order: ChangeRoom | ChangePerson) -> None:
    """Do what REST wants."""
    if isinstance(order, ChangeRoom):
        if order.announce_url:
            room.announce(Goto(url=order.announce_url, method=order.announce_method))
        if order.ends:
            room.end()
        return
    change = Change(
        muted=order.muted,
        hold=order.hold,
        coached=order.coached,
        end_on_exit=order.end_on_exit,
        beep_on_exit=order.beep_on_exit,
    )
    hold = Goto(url=order.hold_url, method=order.hold_method) if order.hold_url else None
    room.change(order.call_sid, change, hold)
    if order.wait_url is not None:
        room.wait_with(order.call_sid, Goto(url=order.wait_url, method=order.wait_method))
    if order.announce_url:
        announced = Goto(url=order.announce_url, method=order.announce_method)
        room.announce(announced, order.call_sid)
    if order.removed:
        room.remove(order.call_sid)
