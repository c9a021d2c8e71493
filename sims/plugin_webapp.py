"""A customer's app in the hand of a test: it answers what the test says and keeps what it is asked.

Signatures are checked here by Twilio's rule and not by the gateway's own code: HMAC-SHA1 over the
URL and the sorted parameters of the form.
"""

import hmac
import io
import math
import mimetypes
import threading
import time
import wave
from array import array
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

__tracebackhide__ = True  # a failure is shown where the test asked

_WITHIN: Final = 10.0  # seconds
_FORM: Final = "application/x-www-form-urlencoded"
_XML: Final = "text/xml; charset=utf-8"
_TEXT: Final = "text/plain; charset=utf-8"
_RATE: Final = 8000
_LOUDNESS: Final = 9000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the app was asked; `params` are those of the query and the form."""

    method: str
    path: str
    url: str
    params: Mapping[str, str]
    headers: Mapping[str, str]
    body: str
    is_signed: bool
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer with all that HTTP has."""

    body: str | bytes = ""
    status: int = 200
    content_type: str = _XML
    headers: Mapping[str, str] = field(default_factory=dict)


Answer = Any
"""TwiML or another text, octets, a file's `Path`, a `Reply`, what becomes TwiML by `str`, or a
function of the request that gives one of these."""


class WebApp:
    """The app: `app["/voice"] = answer`; `check_signatures` refuses what is not signed with 403."""

    def __init__(self, auth_token: str) -> None:
        self.requests: list[Request] = []
        self.check_signatures = True
        self.failures: list[BaseException] = []
        self._token = auth_token
        self._answers: dict[str, Answer] = {}
        self._came = threading.Condition()
        self._server = _Server(self)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )
        self._thread.start()

    def __setitem__(self, path: str, answer: Answer) -> None:
        self._answers[path] = answer

    def url(self, path: str = "/") -> str:
        """Where a path is asked."""
        return f"http://127.0.0.1:{self._server.server_address[1]}{path}"

    def tone(self, path: str, frequency: float, seconds: float = 1.0) -> str:
        """Have a WAV file of a tone at a path; gives its URL."""
        self[path] = Reply(body=tone(frequency, seconds), content_type="audio/wav")
        return self.url(path)

    def expect(self, path: str, within: float = _WITHIN, **params: str) -> Request:
        """A request to a path that came or comes, with these parameters; the first of them."""

        def fits(request: Request) -> bool:
            return request.path == path and params.items() <= request.params.items()

        deadline = time.monotonic() + within
        with self._came:
            while not (found := [each for each in self.requests if fits(each)]):
                if not self._came.wait(max(0.0, deadline - time.monotonic())):
                    break
        if found:
            return found[0]
        there = "\n".join(
            f"  {each.method} {each.path} { {name: each.params.get(name) for name in params} }"
            for each in self.requests
        )
        raise AssertionError(
            f"{path} was to be asked with {params} within {within:g} s; what was asked:"
            f"\n{there or '  nothing'}"
        )

    def close(self) -> None:
        """Stop; raises what the first function of the test's raised."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        if self.failures:
            raise self.failures[0]

    def handle(self, asked: BaseHTTPRequestHandler) -> Reply:
        """Keep a request and find its answer."""
        length = int(asked.headers.get("Content-Length") or 0)
        body = asked.rfile.read(length).decode("utf-8", "replace")
        is_form = asked.headers.get("Content-Type", "").startswith(_FORM)
        form = parse_qsl(body, keep_blank_values=True) if is_form else []
        query = parse_qsl(urlsplit(asked.path).query, keep_blank_values=True)
        url = self.url(asked.path)
        request = Request(
            method=asked.command,
            path=urlsplit(asked.path).path,
            url=url,
            params={**dict(query), **dict(form)},
            headers=dict(asked.headers),
            body=body,
            is_signed=is_signed(self._token, url, form, asked.headers.get("X-Twilio-Signature")),
            at=time.time(),
        )
        with self._came:
            self.requests.append(request)
            self._came.notify_all()
        if self.check_signatures and not request.is_signed:
            return Reply(status=403, content_type=_TEXT, body="the signature is not valid")
        return self._answer(request)

    def _answer(self, request: Request) -> Reply:
        if request.path not in self._answers:
            said = f"the test has no answer for {request.path}"
            return Reply(status=404, content_type=_TEXT, body=said)
        answer = self._answers[request.path]
        try:
            return _reply(answer(request) if isinstance(answer, Callable) else answer)  # type: ignore[arg-type]
        except BaseException as failure:  # the test's own code, which the test has to hear of
            self.failures.append(failure)
            return Reply(status=500, content_type=_TEXT, body=str(failure))


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 100

    def __init__(self, app: WebApp) -> None:
        self.app = app
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        """Answer."""
        reply = self.server.app.handle(self)
        content = reply.body if isinstance(reply.body, bytes) else reply.body.encode()
        self.send_response(reply.status)
        for name, value in {"Content-Type": reply.content_type, **reply.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_POST = do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet: requests are kept."""


def is_signed(token: str, url: str, form: list[tuple[str, str]], signature: str | None) -> bool:
    """Whether a signature is that of Twilio's rule."""
    signed = url + "".join(name + value for name, value in sorted(set(form)))
    digest = hmac.new(token.encode(), signed.encode(), sha1).digest()
    return hmac.compare_digest(b64encode(digest).decode(), signature or "")


def tone(frequency: float, seconds: float) -> bytes:
    """A WAV file of a tone in Hz."""
    turn = 2 * math.pi * frequency / _RATE
    made = (round(_LOUDNESS * math.sin(turn * at)) for at in range(round(seconds * _RATE)))
    samples = array("h", made)
    written = io.BytesIO()
    with wave.open(written, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(_RATE)
        file.writeframes(samples.tobytes())
    return written.getvalue()


def _reply(answer: Answer) -> Reply:
    match answer:
        case Reply():
            return answer
        case None:
            return Reply(status=204)
        case bytes():
            kind = "audio/wav" if answer[:4] == b"RIFF" else "application/octet-stream"
            return Reply(body=answer, content_type=kind)
        case Path():
            guessed = mimetypes.guess_type(answer.name)[0]
            return Reply(
                body=answer.read_bytes(), content_type=guessed or "application/octet-stream"
            )
    text = str(answer)
    return Reply(body=text, content_type=_XML if text.lstrip().startswith("<") else _TEXT)
