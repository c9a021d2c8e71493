"""The resources as values, and the tables by which their states may change.

A message is never changed in place: the next state is a new value with `version` one higher,
and `gateway/store` refuses to write over a version that it does not know.
"""

from enum import StrEnum
from typing import Final

import msgspec


class Direction(StrEnum):
    """Who sent it, in Twilio's words."""

    INBOUND = "inbound"
    OUTBOUND_API = "outbound-api"
    OUTBOUND_REPLY = "outbound-reply"


class MessageStatus(StrEnum):
    """Twilio's message states; the ones of other channels are left out."""

    ACCEPTED = "accepted"
    SCHEDULED = "scheduled"
    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    DELIVERED = "delivered"
    UNDELIVERED = "undelivered"
    FAILED = "failed"
    CANCELED = "canceled"
    RECEIVED = "received"


_S = MessageStatus

# From -> to. A receipt may arrive before the response, so `sending` reaches the final states;
# `sending -> queued` is the retry after a temporary refusal or an uncertain submit.
TRANSITIONS: Final[dict[MessageStatus, frozenset[MessageStatus]]] = {
    _S.ACCEPTED: frozenset({_S.QUEUED, _S.FAILED, _S.CANCELED}),
    _S.SCHEDULED: frozenset({_S.QUEUED, _S.FAILED, _S.CANCELED}),
    _S.QUEUED: frozenset({_S.SENDING, _S.FAILED, _S.CANCELED}),
    _S.SENDING: frozenset({_S.QUEUED, _S.SENT, _S.FAILED, _S.DELIVERED, _S.UNDELIVERED}),
    _S.SENT: frozenset({_S.DELIVERED, _S.UNDELIVERED}),
    _S.DELIVERED: frozenset(),
    _S.UNDELIVERED: frozenset({_S.DELIVERED}),  # a carrier that gave up and then got through
    _S.FAILED: frozenset(),
    _S.CANCELED: frozenset(),
    _S.RECEIVED: frozenset(),
}


class MessageStates(StrEnum):
    """Which states of a message are told: every one, or the last one alone."""

    ALL = "all"
    FINAL = "final"


class BusSecurity(StrEnum):
    """How Kafka's brokers are spoken to."""

    PLAINTEXT = "plaintext"
    TLS = "tls"
    SASL = "sasl"
    SASL_TLS = "sasl_tls"


class Engine(StrEnum):
    """What turns text into speech; `AUTO` takes what is there."""

    AUTO = "auto"
    ESPEAK = "espeak"
    HTTP = "http"
    FAKE = "fake"
    NONE = "none"


class SpeechFormat(StrEnum):
    """What an engine behind HTTP is asked for: a WAV file, or 24,000 samples a second alone."""

    WAV = "wav"
    PCM = "pcm"


class MediaPlane(StrEnum):
    """What passes media on that nobody here has to hear."""

    WORKERS = "workers"
    RTPENGINE = "rtpengine"


class SaslMechanism(StrEnum):
    """By which name and password are shown to a broker."""

    PLAIN = "PLAIN"
    SCRAM_SHA_256 = "SCRAM-SHA-256"
    SCRAM_SHA_512 = "SCRAM-SHA-512"


class AccountStatus(StrEnum):
    """What an account may do: a suspended one may read, a closed one nothing."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    CLOSED = "closed"


class AccountKind(StrEnum):
    """A test account's requests are answered and nothing is sent."""

    FULL = "full"
    TEST = "test"


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """An owner of everything else; `parent_sid` is its own SID for a main account.

    `repr` shows nothing of the token.
    """

    sid: str
    parent_sid: str
    kind: AccountKind
    friendly_name: str
    auth_token: str
    status: AccountStatus
    date_created: float
    date_updated: float
    version: int

    def __repr__(self) -> str:
        return f"Account({self.sid}, {self.friendly_name!r}, {self.status})"


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One text, whole, in either direction; the columns of table `messages`."""

    account_sid: str
    sid: str
    direction: Direction
    status: MessageStatus
    from_address: str
    to_address: str
    body: str
    media: tuple[str, ...] = ()
    num_segments: int
    parts: int  # submit_sm that carry it: one where the carrier splits by itself
    encoding: str
    status_callback: str = ""
    status_callback_method: str = "POST"
    origin: str
    in_reply_to: str = ""
    carrier: str = ""
    route: str = "[]"
    attempt: int = 0
    reference: int = -1
    concat_reference: int = -1
    error_code: int = 0
    valid_until: float
    date_created: float
    date_updated: float
    date_sent: float = 0.0
    version: int = 1


class PhoneNumber(msgspec.Struct, frozen=True, kw_only=True):
    """A number of an account and what runs when somebody texts or calls it.

    `settings` holds REST's own names (`sms_url`, `sms_method`, …); `declared` is true for one
    that the config file names and REST can't change.
    """

    sid: str
    account_sid: str
    phone_number: str
    friendly_name: str
    settings: dict[str, str]
    date_created: float
    date_updated: float
    version: int
    declared: bool = False
