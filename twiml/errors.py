"""What can be wrong with a document: Twilio's codes, as findings that say where and what.

Findings are values. A document with warnings runs; one that can't be run is a `ParseFailure`.
"""

from enum import StrEnum
from typing import Final

import msgspec

BODY_TOO_LARGE: Final = 11750
DOCUMENT_PARSE_FAILURE: Final = 12100
ROOT_NOT_RESPONSE: Final = 12102
SCHEMA_WARNING: Final = 12200
INVALID_CONTENT_TYPE: Final = 12300
DIAL_IN_WHISPER: Final = 13201
INVALID_DIAL_METHOD: Final = 13210
INVALID_DIAL_TIMEOUT: Final = 13212
INVALID_HANGUP_ON_STAR: Final = 13213
INVALID_CALLER_ID: Final = 13214
INVALID_DIAL_CHILD: Final = 13215
INVALID_TIME_LIMIT: Final = 13216
INVALID_DIAL_RECORD: Final = 13217
INVALID_SEQUENTIAL: Final = 13218
INVALID_ANSWER_ON_BRIDGE: Final = 13219
INVALID_RING_TONE: Final = 13220
INVALID_NUMBER_METHOD: Final = 13221
INVALID_SEND_DIGITS: Final = 13222
INVALID_PHONE_NUMBER: Final = 13223
INVALID_VERB_FOR_WAITING: Final = 13238
INVALID_SIP_METHOD: Final = 13241
INVALID_SIP_URI: Final = 13243
INVALID_SIP_CREDENTIALS: Final = 13249
TOO_MANY_URIS: Final = 13250
TOO_MANY_HEADERS: Final = 13251
INVALID_HEADER_NAME: Final = 13252
HEADER_TOO_LONG: Final = 13253
INVALID_RECORDING_CALLBACK: Final = 13256
INVALID_RECORDING_EVENT: Final = 13621
INVALID_TRIM: Final = 13699
INVALID_REDIRECT_METHOD: Final = 13710
VERB_NOT_SUPPORTED: Final = 13750
INVALID_REJECT_REASON: Final = 13810
INVALID_PAUSE_LENGTH: Final = 13910
INVALID_TO: Final = 14101
INVALID_FROM: Final = 14102
INVALID_BODY: Final = 14103
INVALID_METHOD: Final = 14104
INVALID_STATUS_CALLBACK: Final = 14105
DOCUMENT_LIMIT: Final = 14106
MESSAGE_LIMIT: Final = 14109
INVALID_VERB_FOR_MESSAGE: Final = 14110
SIP_HEADERS_TOO_LONG: Final = 21227


class Level(StrEnum):
    """A warning is noted and the document runs; an error ends it."""

    ERROR = "error"
    WARNING = "warning"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong with a document; `line` counts from 1, 0 is the document itself."""

    code: int
    level: Level
    line: int
    message: str


class ParseFailure(msgspec.Struct, frozen=True, kw_only=True):
    """Why a document can't be run, and what else had been noticed in it."""

    code: int
    line: int
    message: str

    @property
    def finding(self) -> Finding:
        """The same, among findings."""
        return Finding(code=self.code, level=Level.ERROR, line=self.line, message=self.message)
