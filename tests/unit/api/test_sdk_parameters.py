"""Whatever the official SDK can say of calls is declared: nothing of it is passed over unseen."""

import inspect
import re
from collections.abc import Callable
from typing import Any

import pytest
from twilio.rest import Client

from gateway.api.app import V2010

CLIENT = Client("AC" + "0" * 32, "secret")
_API: Any = CLIENT.api.v2010.account
SID = "0" * 32
CALL, ROOM = _API.calls(f"CA{SID}"), _API.conferences(f"CF{SID}")
QUEUE, RECORDING = _API.queues(f"QU{SID}"), _API.recordings(f"RE{SID}")
APPLICATION = _API.applications(f"AP{SID}")
NOT_OF_TWILIO = {"limit", "page_size", "self"}
RANGE = re.compile(r"(.*)_(before|after)")
SIGNS = {"before": "<", "after": ">"}
OPERATIONS = {operation.id: operation for operation in V2010}
SAID: dict[str, Callable[..., Any]] = {
    "CreateCall": _API.calls.create,
    "UpdateCall": CALL.update,
    "ListCall": _API.calls.list,
    "CreateCallRecording": CALL.recordings.create,
    "UpdateCallRecording": CALL.recordings(f"RE{SID}").update,
    "ListCallRecording": CALL.recordings.list,
    "ListNotification": _API.notifications.list,
    "ListCallNotification": CALL.notifications.list,
    "ListCallEvent": CALL.events.list,
    "CreateUserDefinedMessage": CALL.user_defined_messages.create,
    "CreateUserDefinedMessageSubscription": CALL.user_defined_message_subscriptions.create,
    "ListRecording": _API.recordings.list,
    "FetchRecording": RECORDING.fetch,
    "ListConference": _API.conferences.list,
    "UpdateConference": ROOM.update,
    "ListConferenceRecording": ROOM.recordings.list,
    "UpdateConferenceRecording": ROOM.recordings(f"RE{SID}").update,
    "CreateParticipant": ROOM.participants.create,
    "UpdateParticipant": ROOM.participants(f"CA{SID}").update,
    "ListParticipant": ROOM.participants.list,
    "CreateQueue": _API.queues.create,
    "UpdateQueue": QUEUE.update,
    "ListQueue": _API.queues.list,
    "UpdateMember": QUEUE.members("Front").update,
    "ListMember": QUEUE.members.list,
    "CreateApplication": _API.applications.create,
    "UpdateApplication": APPLICATION.update,
    "ListApplication": _API.applications.list,
}


def wire(name: str) -> str:
    """What the SDK's name of a parameter is on the wire."""
    found = RANGE.fullmatch(name)
    stem, sign = (found[1], SIGNS[found[2]]) if found else (name, "")
    return "".join(word.capitalize() for word in stem.rstrip("_").split("_")) + sign


@pytest.mark.parametrize("operation", SAID)
def test_what_the_sdk_says_is_declared(operation: str) -> None:
    names = set(inspect.signature(SAID[operation]).parameters) - NOT_OF_TWILIO
    declared = {param.name for param in OPERATIONS[operation].params}
    assert {wire(name) for name in names} <= declared
