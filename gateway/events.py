"""Facts: what happened, the third and last vocabulary of events.

A fact is appended in the commit that makes it true and read by whoever builds what can be
thrown away and built again. It names the resource and its version, never what a text said.
Facts `track.…` have no resource: they are what a customer sent to `/v1/track`, whole.
"""

from enum import StrEnum
from typing import Any, Final

import msgspec

from gateway.model import Message, MessageStatus
from gateway.store.base import Insert, Write

APPEND: Final = Insert(
    table="facts", columns=("account_sid", "sid", "version", "type", "at", "data")
)


class FactType(StrEnum):
    """Every kind of fact there is."""

    MESSAGE_QUEUED = "message.queued"
    MESSAGE_DEFERRED = "message.deferred"
    MESSAGE_HELD = "message.held"
    MESSAGE_SENT = "message.sent"
    MESSAGE_DELIVERED = "message.delivered"
    MESSAGE_UNDELIVERED = "message.undelivered"
    MESSAGE_FAILED = "message.failed"
    MESSAGE_CANCELED = "message.canceled"
    MESSAGE_RECEIVED = "message.received"
    MESSAGE_REDACTED = "message.redacted"
    MESSAGE_DELETED = "message.deleted"
    MESSAGE_RECEIPT = "message.receipt"
    MESSAGE_RECEIPT_OVERDUE = "message.receipt_overdue"
    CALL_QUEUED = "call.queued"
    CALL_INITIATED = "call.initiated"
    CALL_RINGING = "call.ringing"
    CALL_ANSWERED = "call.answered"
    CALL_TRIED = "call.tried"
    CALL_QUALITY = "call.quality"
    CALL_UPDATED = "call.updated"
    CALL_COMPLETED = "call.completed"
    CALL_BUSY = "call.busy"
    CALL_FAILED = "call.failed"
    CALL_NO_ANSWER = "call.no_answer"
    CALL_CANCELED = "call.canceled"
    CALL_DELETED = "call.deleted"
    RECORDING_STARTED = "recording.started"
    RECORDING_UPDATED = "recording.updated"
    RECORDING_COMPLETED = "recording.completed"
    RECORDING_ABSENT = "recording.absent"
    RECORDING_DELETED = "recording.deleted"
    CONFERENCE_CREATED = "conference.created"
    CONFERENCE_STARTED = "conference.started"
    CONFERENCE_ENDED = "conference.ended"
    PARTICIPANT_JOINED = "participant.joined"
    PARTICIPANT_UPDATED = "participant.updated"
    PARTICIPANT_LEFT = "participant.left"
    QUEUE_CREATED = "queue.created"
    QUEUE_UPDATED = "queue.updated"
    QUEUE_DELETED = "queue.deleted"
    NOTIFICATION_CREATED = "notification.created"
    ACCOUNT_CREATED = "account.created"
    ACCOUNT_UPDATED = "account.updated"
    NUMBER_CREATED = "phone_number.created"
    NUMBER_UPDATED = "phone_number.updated"
    NUMBER_DELETED = "phone_number.deleted"
    APPLICATION_CREATED = "application.created"
    APPLICATION_UPDATED = "application.updated"
    APPLICATION_DELETED = "application.deleted"
    KEY_CREATED = "key.created"
    KEY_UPDATED = "key.updated"
    KEY_DELETED = "key.deleted"
    SIP_DOMAIN_CREATED = "sip_domain.created"
    SIP_DOMAIN_UPDATED = "sip_domain.updated"
    SIP_DOMAIN_DELETED = "sip_domain.deleted"
    CREDENTIAL_LIST_CREATED = "credential_list.created"
    CREDENTIAL_LIST_UPDATED = "credential_list.updated"
    CREDENTIAL_LIST_DELETED = "credential_list.deleted"
    CREDENTIAL_CREATED = "credential.created"
    CREDENTIAL_UPDATED = "credential.updated"
    CREDENTIAL_DELETED = "credential.deleted"
    ACCESS_LIST_CREATED = "ip_access_control_list.created"
    ACCESS_LIST_UPDATED = "ip_access_control_list.updated"
    ACCESS_LIST_DELETED = "ip_access_control_list.deleted"
    IP_ADDRESS_CREATED = "ip_address.created"
    IP_ADDRESS_UPDATED = "ip_address.updated"
    IP_ADDRESS_DELETED = "ip_address.deleted"
    SIP_MAPPING_CREATED = "sip_mapping.created"
    SIP_MAPPING_DELETED = "sip_mapping.deleted"
    SUBMIT_REFUSED = "submit.refused"
    TRACK = "track.track"
    TRACK_IDENTIFY = "track.identify"
    TRACK_PAGE = "track.page"
    TRACK_SCREEN = "track.screen"
    TRACK_GROUP = "track.group"
    TRACK_ALIAS = "track.alias"


KINDS: Final = tuple(kind.value for kind in FactType)

BY_STATUS: Final[dict[MessageStatus, FactType]] = {
    MessageStatus.QUEUED: FactType.MESSAGE_QUEUED,
    MessageStatus.SENT: FactType.MESSAGE_SENT,
    MessageStatus.DELIVERED: FactType.MESSAGE_DELIVERED,
    MessageStatus.UNDELIVERED: FactType.MESSAGE_UNDELIVERED,
    MessageStatus.FAILED: FactType.MESSAGE_FAILED,
    MessageStatus.CANCELED: FactType.MESSAGE_CANCELED,
    MessageStatus.RECEIVED: FactType.MESSAGE_RECEIVED,
}

_encode = msgspec.json.Encoder().encode


def fact(
    account_sid: str, sid: str, version: int, kind: FactType, at: float, data: dict[str, Any]
) -> Write:
    """The write that appends one fact; `data` must be JSON and hold no text's body."""
    return APPEND, (account_sid, sid, version, kind, at, _encode(data).decode())


def message_fact(message: Message, kind: FactType, at: float, **data: Any) -> Write:
    """A fact about `message` as it is now."""
    return fact(message.account_sid, message.sid, message.version, kind, at, data)
