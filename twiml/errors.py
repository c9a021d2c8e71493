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
INVALID_REDIRECT_METHOD: Final = 13710
INVALID_TO: Final = 14101
INVALID_FROM: Final = 14102
INVALID_BODY: Final = 14103
INVALID_METHOD: Final = 14104
INVALID_STATUS_CALLBACK: Final = 14105
MESSAGE_LIMIT: Final = 14109
INVALID_VERB_FOR_MESSAGE: Final = 14110


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
