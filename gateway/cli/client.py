"""A small REST client: finds the gateway and the account, asks, and says what to do if it fails.

The gateway is at `TRUNKLINE_URL`, else where `<data>/ports.json` says that it listens; the
account is `TRUNKLINE_ACCOUNT_SID` and `TRUNKLINE_AUTH_TOKEN`, else the one of
`<data>/credentials.json`.
"""

import base64
import http.client
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import SplitResult, quote, urlencode, urlsplit

_VARIABLES: Final = "TRUNKLINE_ACCOUNT_SID and TRUNKLINE_AUTH_TOKEN"
API: Final = "/2010-04-01/Accounts"
_TIMEOUT: Final = 5.0  # seconds
_STREAM_TIMEOUT: Final = 60.0  # the gateway sends a comment each 15 s
_CHUNK: Final = 1 << 16  # octets


def program() -> str:
    """How this was called, so that a command that is printed can be pasted."""
    called = sys.argv[0]
    match Path(called).parts:
        case (*_, "gateway", "__main__.py"):
            return "python -m gateway"
        case (_, *_, "trunkline") if shutil.which("trunkline") != called:
            return called
        case _:
            return "trunkline"


class GatewayError(Exception):
    """The gateway can't be asked, or refused; the text says what to do."""


class Refused(GatewayError):
    """The gateway answered that it will not; `status` is HTTP's, `content` the answer's JSON."""

    def __init__(self, text: str, status: int, content: Any) -> None:
        super().__init__(text)
        self.status = status
        self.content = content


class ConnectionLost(GatewayError):
    """The gateway went away while it was being listened to."""


class Gateway:
    """A running gateway, as one account sees it."""

    def __init__(
        self,
        url: str,
        account_sid: str,
        auth_token: str,
        source: str = _VARIABLES,
        secure: str = "",
    ) -> None:
        """`url` is http or https; a path in it stands before every path that is asked.

        `source` says where the SID and the token stand, for when they turn out to be wrong, and
        `secure` at which host and port it speaks TLS, if that is known.
        """
        self._url = _split(url)
        self._source = source
        self._secure = secure
        self.account_sid = account_sid
        credentials = base64.b64encode(f"{account_sid}:{auth_token}".encode()).decode()
        self._headers = {"Authorization": f"Basic {credentials}", "Accept": "application/json"}

    @classmethod
    def find(cls, data: Path, environ: Mapping[str, str] = os.environ) -> "Gateway":
        """The gateway and the account of the environment, else those of the data folder."""
        url, secure = environ.get("TRUNKLINE_URL"), ""
        if not url:
            ports = _read(data / "ports.json", _start())
            url = _url_of(ports, data)
            secure = f"127.0.0.1:{ports['https']}" if ports.get("https") else ""
        sid, token = environ.get("TRUNKLINE_ACCOUNT_SID"), environ.get("TRUNKLINE_AUTH_TOKEN")
        if sid and token:
            return cls(url, sid, token, secure=secure)
        path = data / "credentials.json"
        known = _read(path, f"set {_VARIABLES}, or {_start()}")
        return cls(url, known["account_sid"], known["auth_token"], f"those in {path}", secure)

    @property
    def url(self) -> str:
        """Where the gateway is."""
        return self._url.geturl().rstrip("/")

    @property
    def secure_place(self) -> str:
        """The host and port at which it speaks TLS; empty if it is not known to."""
        return self._url.netloc if self._url.scheme == "https" else self._secure

    @property
    def account_path(self) -> str:
        """Where this account's own resources stand."""
        return f"{API}/{self.account_sid}"

    def get(self, path: str, **query: str | int | Sequence[str] | None) -> Any:
        """The JSON at `path`; parameters that are None are left out, lists are repeated."""
        given = {name: value for name, value in query.items() if value is not None}
        return self._ask("GET", f"{path}?{urlencode(given, doseq=True)}" if given else path)

    def post(self, path: str, **form: str | Sequence[str] | None) -> Any:
        """The JSON that answers a form; fields that are None are left out, lists are repeated."""
        given = urlencode({name: value for name, value in form.items() if value is not None}, True)
        return self._ask("POST", path, given, "application/x-www-form-urlencoded")

    def post_json(self, path: str, content: Mapping[str, Any]) -> Any:
        """The JSON that answers a JSON object."""
        return self._ask("POST", path, json.dumps(content), "application/json")

    def delete(self, path: str) -> None:
        """Remove what is at `path`."""
        self._ask("DELETE", path)

    def download(self, path: str, into: IO[bytes]) -> None:
        """Write what answers a POST to `into`, however long it is."""
        self._download("POST", path, into)

    def save(self, path: str, into: IO[bytes], **query: str | None) -> None:
        """Write what is at `path` to `into`; parameters that are None are left out."""
        given = {name: value for name, value in query.items() if value is not None}
        self._download("GET", f"{path}?{urlencode(given)}" if given else path, into)

    def _download(self, method: str, path: str, into: IO[bytes]) -> None:
        connection = self._connect(_STREAM_TIMEOUT)
        try:
            response = self._answer(connection, method, path, None, self._headers)
            if response.status != http.client.OK:
                raise self._refused(response.status, response.read())
            while octets := response.read(_CHUNK):
                into.write(octets)
        except BrokenPipeError:  # whoever reads what is written has enough
            raise
        except TimeoutError:
            raise self._silent() from None
        except (http.client.HTTPException, ConnectionError):
            raise ConnectionLost(f"the gateway at {self._url.geturl()} cut it off") from None
        finally:
            connection.close()

    def events(self, after: str = "") -> Iterator[tuple[str, Any]]:
        """Server-sent events of the account as (id, content), beginning after the id `after`.

        Raises `ConnectionLost` when the gateway ends the stream.
        """
        headers = {**self._headers, "Accept": "text/event-stream"}
        if after:
            headers["Last-Event-ID"] = after
        connection = self._connect(_STREAM_TIMEOUT)
        try:
            response = self._answer(connection, "GET", "/v1/events", None, headers)
            with response:
                if response.status != http.client.OK:
                    raise self._refused(response.status, response.read())
                yield from _events_of(response)
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()
        raise ConnectionLost(f"the gateway at {self._url.geturl()} closed the stream")

    def _connect(self, timeout: float) -> http.client.HTTPConnection:
        host, port = self._url.hostname or "", self._url.port
        if self._url.scheme == "https":
            return http.client.HTTPSConnection(host, port, timeout=timeout)
        return http.client.HTTPConnection(host, port, timeout=timeout)

    def _ask(self, method: str, path: str, body: str | None = None, kind: str = "") -> Any:
        headers = {**self._headers, "Content-Type": kind} if kind else self._headers
        connection = self._connect(_TIMEOUT)
        try:
            response = self._answer(connection, method, path, body, headers)
            content = response.read()
        except TimeoutError:
            raise self._silent() from None
        finally:
            connection.close()
        if not http.client.OK <= response.status < http.client.MULTIPLE_CHOICES:
            raise self._refused(response.status, content)
        return json.loads(content) if content else None

    def _answer(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: str | None,
        headers: Mapping[str, str],
    ) -> http.client.HTTPResponse:
        try:
            target = self._url.path.rstrip("/") + path
            connection.request(method, target, body and body.encode(), dict(headers))
            return connection.getresponse()
        except TimeoutError:
            raise self._silent() from None
        except (OSError, http.client.HTTPException) as error:
            raise GatewayError(
                f"no gateway answers at {self._url.geturl()} ({error}); {_start()},"
                " or name another with TRUNKLINE_URL"
            ) from None

    def _silent(self) -> GatewayError:
        return GatewayError(
            f"what listens at {self._url.geturl()} did not answer within {_TIMEOUT:g} s;"
            " if that is the gateway, its log says what it waits for; try again in a moment"
        )

    def _refused(self, status: int, content: bytes) -> Refused:
        try:
            body = json.loads(content)
            text = _said(body)
        except (ValueError, KeyError, TypeError):
            body = None
            text = content.decode(errors="replace").strip()[:200] or http.client.responses[status]
        hints: Mapping[int, str] = {
            http.client.UNAUTHORIZED: f"; check {self._source}",
            http.client.SERVICE_UNAVAILABLE: "; try again in a moment",
        }
        return Refused(f"{status}: {text}{hints.get(status, '')}", status, body)


def _said(body: Mapping[str, Any]) -> str:
    """The sentence of a refusal: the gateway's own, or a simulator's."""
    if "error" in body:
        return str(body["error"])
    return f"{body['message']} (error {body['code']})"


def _start() -> str:
    return f"start one with `{program()} serve`"


def segment(text: str) -> str:
    """`text` as one segment of a path."""
    return quote(text, safe="")


def _split(url: str) -> SplitResult:
    split = urlsplit(url)
    if split.scheme not in ("http", "https") or not split.hostname:
        raise GatewayError(f"TRUNKLINE_URL is {url!r}; it should be such as http://127.0.0.1:8080")
    return split


def _read(path: Path, remedy: str) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise GatewayError(f"{path} is not there, so no gateway runs there; {remedy}") from None
    except (OSError, ValueError) as error:
        raise GatewayError(f"{path} can't be read ({error}); {remedy}") from None
    if not isinstance(content, dict):
        raise GatewayError(f"{path} holds no object; {remedy}")
    return content


def _url_of(ports: Mapping[str, Any], data: Path) -> str:
    for scheme in ("http", "https"):
        if ports.get(scheme):
            return f"{scheme}://127.0.0.1:{ports[scheme]}"
    raise GatewayError(
        f"{data / 'ports.json'} names no HTTP port: [http] listen is off;"
        " turn it on, or name the gateway with TRUNKLINE_URL"
    )


def _events_of(response: http.client.HTTPResponse) -> Iterator[tuple[str, Any]]:
    """WHATWG HTML §9.2.6, as far as the gateway uses it."""
    event_id, lines = "", list[str]()
    for line in response:
        name, _, value = line.decode().rstrip("\r\n").partition(":")
        if name == "id":
            event_id = value.strip()
        elif name == "data":
            lines.append(value.removeprefix(" "))
        elif not name and not value and lines:
            yield event_id, json.loads("\n".join(lines))
            lines.clear()
