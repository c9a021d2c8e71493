"""The kernel of the REST face: forms in, Twilio's JSON and headers out.

Everything here is on the path of every request, so it works on bytes and plain dicts.
"""

import re
import time
from binascii import Error as Base64Error
from binascii import a2b_base64
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import msgspec
from aiohttp import hdrs, web
from multidict import CIMultiDict

from gateway.api.resources import JSON, Answer
from gateway.errors import describe
from gateway.messages.draft import Refusal
from gateway.sids import REQUEST, new_sid

MAX_REQUEST: Final = 1024 * 1024  # octets of a request's body

encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder().decode

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = (
    *("Jan", "Feb", "Mar", "Apr", "May", "Jun"),
    *("Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
)


def rfc2822(at: float) -> str:
    """`at` (seconds since the epoch) as the v2010 API writes times, in whole seconds of UTC."""
    return _rfc2822(int(at))


@lru_cache(maxsize=1024)
def _rfc2822(at: int) -> str:
    t = time.gmtime(at)
    return (
        f"{_DAYS[t.tm_wday]}, {t.tm_mday:02d} {_MONTHS[t.tm_mon - 1]} {t.tm_year:04d}"
        f" {t.tm_hour:02d}:{t.tm_min:02d}:{t.tm_sec:02d} +0000"
    )


def iso8601(at: float) -> str | None:
    """`at` as our own resources write times, in milliseconds of UTC; None for 0, "never"."""
    if not at:
        return None
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True):
    """What every refusal says, in Twilio's four keys."""

    code: int
    message: str
    more_info: str
    status: int


def http_status(error_code: int) -> int:
    """The HTTP status for a code; those that the catalogue gives none are a client's mistake."""
    return describe(error_code).http_status or 400


def refuse(error_code: int, message: str = "") -> Refusal:
    """A refusal with the catalogue's sentence unless `message` says more."""
    return Refusal(error_code=error_code, message=message or describe(error_code).message)


def not_found(path: str) -> Refusal:
    """Twilio's words for a resource that is not there, or is somebody else's."""
    return refuse(20404, f"The requested resource {path} was not found")


def answer_json(value: Any, status: int = 200) -> Answer:
    """`value` as a body of JSON."""
    return Answer(status, encode(value))


def request_headers(started: float, now: float, content_type: str) -> "CIMultiDict[str]":
    """The headers of every answer; `started` and `now` are the request's two ends in seconds."""
    headers: CIMultiDict[str] = CIMultiDict()
    headers[hdrs.CONTENT_TYPE] = content_type
    headers["Twilio-Request-Id"] = new_sid(REQUEST, now)
    headers["Twilio-Request-Duration"] = f"{max(now - started, 0.0):.3f}"
    headers["X-Shenanigans"] = "none"
    headers[hdrs.SERVER] = "Trunkline"
    return headers


def answer_response(answer: Answer, started: float, now: float) -> web.Response:
    """`answer` on the wire."""
    headers = request_headers(started, now, answer.content_type)
    if answer.status == 204:
        del headers[hdrs.CONTENT_TYPE]
    if answer.headers:
        headers.update(answer.headers)
    return web.Response(status=answer.status, body=answer.body, headers=headers)


def refusal_response(
    refusal: Refusal, started: float, now: float, retry_after: float = 1.0
) -> web.Response:
    """`refusal` on the wire; `retry_after` (seconds) goes with the codes that mean "later"."""
    known = describe(refusal.error_code)
    status = known.http_status or 400
    headers = request_headers(started, now, JSON)
    if status == 401:
        headers[hdrs.WWW_AUTHENTICATE] = 'Basic realm="Twilio API"'
    elif status in (429, 503):
        headers[hdrs.RETRY_AFTER] = str(max(int(retry_after + 0.999), 1))
    body = ErrorBody(
        code=refusal.error_code,
        message=refusal.message,
        more_info=known.more_info,
        status=status,
    )
    return web.Response(status=status, body=encode(body), headers=headers)


def parse_form(encoded: bytes) -> dict[str, list[str]] | Refusal:
    """The parameters of an `application/x-www-form-urlencoded` body or query, in their order.

    Escapes that are none stand for themselves, as browsers take them. What is not UTF-8 is
    refused with 20001, and so is U+0000, which no store keeps.
    """
    form: dict[str, list[str]] = {}
    if not encoded:
        return form
    read = _unescaped
    if not _ESCAPED_SEPARATOR.search(encoded):  # then all of it can be unescaped at once
        encoded, read = _unescaped(encoded), _as_it_is
    for pair in encoded.split(b"&"):
        if not pair:
            continue
        name, _, value = pair.partition(b"=")
        try:
            key, text = read(name).decode(), read(value).decode()
        except UnicodeDecodeError as error:
            shown = name[:40].decode("ascii", "backslashreplace")
            return refuse(20001, f"Parameter '{shown}' is not UTF-8: {error.reason}")
        if "\0" in text:
            return _nul(key)
        if key in form:
            form[key].append(text)
        else:
            form[key] = [text]
    return form


def _nul(name: str) -> Refusal:
    return refuse(20001, f"Parameter '{name[:40]}' holds the character U+0000")


_ESCAPED_SEPARATOR: Final = re.compile(rb"%(?:26|3[dD])")


def _unescaped(octets: bytes) -> bytes:
    if b"+" in octets:
        octets = octets.replace(b"+", b" ")
    return unquote_to_bytes(octets) if b"%" in octets else octets


def _as_it_is(octets: bytes) -> bytes:
    return octets


def parse_json(encoded: bytes) -> dict[str, list[str]] | Refusal:
    """The parameters of a JSON object whose values are texts, numbers or booleans."""
    try:
        value = _decode(encoded or b"{}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return refuse(20001, f"The body is not JSON: {error}")
    if not isinstance(value, dict):
        return refuse(20001, "The body should be a JSON object")
    form: dict[str, list[str]] = {}
    for name, given in value.items():
        if not isinstance(given, str | int | float):
            return refuse(20001, f"Parameter '{name[:40]}' should be a text, number or boolean")
        if isinstance(given, str) and "\0" in given:
            return _nul(name)
        form[name] = [given if isinstance(given, str) else encode(given).decode()]
    return form


def basic_credentials(header: str) -> tuple[str, str] | None:
    """User name and password of an `Authorization: Basic` header (RFC 7617), None if it is none."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = a2b_base64(encoded.strip()).decode().partition(":")
    except (Base64Error, ValueError):
        return None
    return (user, password) if colon else None
