"""A gateway with a carrier, a domain and phones: what flows are played against.

The carrier's calls come from 127.0.0.2, where its own gateway is as well; phones are at 127.0.0.3
and users of `DOMAIN`. What a call runs is a document of the test's, by path.
"""

import json
import os
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode
from urllib.request import urlopen

from tests.integration.gateway_process import App, get, request_of, wait_for
from tests.interop.sip.flow import Names, Side
from tests.ports import free_port
from tests.running import RunningGateway

NUMBER: Final = "+15550001000"  # the account's
BEYOND: Final = "+447700900123"  # reached by the carrier
CALLER: Final = "+447700900456"
DOMAIN: Final = "loop.test"
SECURE_DOMAIN: Final = "secure.test"
USERS: Final = {"alice": "alice-s3cret", "bob": "bob-s3cret"}
CARRIER_HOST: Final = "127.0.0.2"
PHONE_HOST: Final = "127.0.0.3"
OVER: Final = frozenset({"completed", "busy", "failed", "no-answer", "canceled"})


def document(*verbs: str) -> str:
    """TwiML."""
    return f'<?xml version="1.0" encoding="UTF-8"?><Response>{"".join(verbs)}</Response>'


def dial(noun: str, **attributes: str) -> str:
    """TwiML that joins the call with `noun` once that has answered."""
    given = {"answerOnBridge": "true", **attributes}
    written = "".join(f' {name}="{value}"' for name, value in given.items())
    return document(f"<Dial{written}>{noun}</Dial>")


DIAL_CARRIER: Final = dial(f"<Number>{BEYOND}</Number>")
DIAL_BOB: Final = dial(f"<Sip>sip:bob@{DOMAIN}</Sip>")

_ORDER: Final = count()  # several gateways of one test want ports of their own

_LISTENS: Final = {
    "TRUNKLINE_SIP__UDP": '["127.0.0.1:0"]',
    "TRUNKLINE_SIP__TCP": '["127.0.0.1:0"]',
}
_CONFIG: Final = """
[rtp]
ports = "{first}-{last}"

[[carriers]]
name = "acme"
kind = "sip"
{trunk}

[[numbers]]
number = "{number}"
voice_url = "{voice}"

[[domains]]
name = "{domain}"
voice_url = "{domain_voice}"
users = {users}
"""


class World:
    """A gateway that runs `voice` for calls to its number, `phones` for calls of its users.

    `trunk` are more keys of the carrier; `sip` more of that section, in capitals and as TOML has
    them.
    """

    def __init__(
        self,
        folder: Path,
        start_gateway: Callable[..., RunningGateway],
        *,
        voice: str = DIAL_CARRIER,
        phones: str = DIAL_CARRIER,
        trunk: Mapping[str, object] | None = None,
        sip: Mapping[str, str] | None = None,
        door: tuple[str, int] | None = None,
    ) -> None:
        """`door` is where the carrier takes calls, if that is not one of its own sipps."""
        self.carrier_port = free_port(CARRIER_HOST)
        host, port = door or (CARRIER_HOST, self.carrier_port)
        self.app = self._app(folder, {"/voice": voice, "/phones": phones})
        keys = {
            "uri": f"sip:{host}:{port}",
            "transport": "udp",
            "codecs": ["PCMU", "PCMA"],
            "addresses": [CARRIER_HOST],
            "options_interval": "0s",
            "emergency": [],
            **(trunk or {}),
        }
        place = os.getpid() % 20 * 10 + next(_ORDER) % 10
        first = 30_000 + place * 100
        self.media = (first, first + 99)
        users = ", ".join(
            f"{{ username = {json.dumps(user)}, password = {json.dumps(password)} }}"
            for user, password in USERS.items()
        )
        self.gateway = start_gateway(
            _CONFIG.format(
                first=first,
                last=self.media[1],
                trunk="\n".join(f"{name} = {json.dumps(value)}" for name, value in keys.items()),
                number=NUMBER,
                voice=self.app.url("/voice"),
                domain=DOMAIN,
                domain_voice=self.app.url("/phones"),
                users=f"[{users}]",
            ),
            **_LISTENS,
            **{f"TRUNKLINE_SIP__{name}": value for name, value in (sip or {}).items()},
        )

    def _app(self, folder: Path, documents: Mapping[str, str]) -> App:
        script = folder / "documents.json"
        script.write_text(
            json.dumps(
                [{"path": path, "replies": [{"body": body}]} for path, body in documents.items()]
            )
        )
        app = App(folder, "--script", str(script))
        app.start()
        return app

    def end(self) -> None:
        """End what is not the gateway."""
        self.app.stop()

    # -- who may call it, and be called ------------------------------------------------------

    def at(self, transport: str = "udp") -> tuple[str, int]:
        """Where it takes calls."""
        return "127.0.0.1", self.gateway.ports[f"sip_{transport}"]

    def carrier_calls(self, transport: str = "udp", **more: Any) -> dict[str, Any]:
        """Keywords of a sipp that is the carrier and calls the number."""
        host, port = self.at(transport)
        to = f"sip:{NUMBER}@{host}:{port}"
        names = Names(target=to, to=to, from_=f"sip:{CALLER}@{CARRIER_HOST}", user=CALLER)
        known = {"host": CARRIER_HOST, "to": (host, port), "transport": transport}
        return {"side": Side.CALLER, "names": names, **known, **more}

    def carrier_is_called(self, **more: Any) -> dict[str, Any]:
        """Keywords of a sipp that is the carrier and takes a call."""
        known = {"host": CARRIER_HOST, "port": self.carrier_port, "names": Names(user=BEYOND)}
        return {"side": Side.CALLEE, **known, **more}

    def phone(self, user: str, to: str = "", transport: str = "udp", **more: Any) -> dict[str, Any]:
        """Keywords of a sipp that is a phone: it registers, or calls the URI `to`."""
        target = to or f"sip:{DOMAIN}"
        own = f"sip:{user}@{DOMAIN}"
        names = Names(target=target, to=to or own, from_=own, user=user)
        known: dict[str, Any] = {"host": PHONE_HOST, "to": self.at(transport)}
        known |= {"digest_uri": target.removeprefix("sip:")}
        known |= {"transport": transport, "user": user, "password": USERS[user]}
        return {"side": Side.CALLER, "names": names, **known, **more}

    def make_secure_domain(self, passwords: Mapping[str, str]) -> None:
        """Make `SECURE_DOMAIN`, over REST: its users by name, and the document of the phones."""
        given = {"DomainName": SECURE_DOMAIN, "VoiceUrl": self.app.url("/phones")}
        made = self._post("Domains", **given, Secure="true", SipRegistration="true")
        users = self._post("CredentialLists", FriendlyName="phones")["sid"]
        for user, password in passwords.items():
            self._post(f"CredentialLists/{users}/Credentials", Username=user, Password=password)
        for purpose in ("Calls", "Registrations"):
            place = f"Domains/{made['sid']}/Auth/{purpose}/CredentialListMappings"
            self._post(place, CredentialListSid=users)

    def _post(self, place: str, **form: str) -> dict[str, Any]:
        path = f"/2010-04-01/Accounts/{self.gateway.account_sid}/SIP/{place}.json"
        request = request_of(self.gateway, path, urlencode(form).encode())
        with urlopen(request, timeout=30) as response:
            made: dict[str, Any] = json.load(response)
        return made

    # -- what it says of its calls -----------------------------------------------------------

    def calls(self) -> list[dict[str, Any]]:
        """As REST lists them."""
        sid = self.gateway.account_sid
        found = get(self.gateway, f"/2010-04-01/Accounts/{sid}/Calls.json")
        calls: list[dict[str, Any]] = found["calls"]
        return calls

    def calls_over(self, count: int) -> dict[str, dict[str, Any]]:
        """Its `count` calls by direction, once all of them are over."""

        def over() -> list[dict[str, Any]] | None:
            calls = self.calls()
            return calls if [each["status"] in OVER for each in calls] == [True] * count else None

        try:
            found = wait_for(over, f"{count} calls are over")
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.calls()}\n{self.log()}") from None
        return {call["direction"]: call for call in found}

    def log(self) -> str:
        """What the gateway wrote."""
        return self.gateway.log.read_text()[-20_000:]
