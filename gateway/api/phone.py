"""The softphone at `/phone`: a page of our own, and what it asks beside `/signal`.

The page comes with all that it needs and may load nothing from elsewhere. It takes an Access Token;
where HTTP is listened at for this machine alone it can ask for one with the account's auth token,
which nobody should type into a page that comes over a network.
"""

import hashlib
from importlib import resources
from typing import Final

import msgspec

from gateway import applications
from gateway.access.keys import Closed, Full, Key
from gateway.access.tokens import LONGEST, LONGEST_IDENTITY, Grant, Invalid, Tokens, mint
from gateway.access.turn import mint as mint_credential
from gateway.api.http import answer_json, refuse
from gateway.api.resources import Access, Answer, Call, Handler, Kind, Operation, Param, Result
from gateway.messages.draft import Refusal
from gateway.model import AccountStatus

PATH: Final = "/phone"
KEY_NAME: Final = "softphone"
_HOUR: Final = 3600

_FOLDER: Final = resources.files("gateway.api") / "softphone"
_HTML, _CSS, _JS = (f"text/{each}; charset=utf-8" for each in ("html", "css", "javascript"))
_FILES: Final = (
    ("ShowPhone", PATH, "index.html", _HTML),
    ("ShowPhoneStyle", f"{PATH}/phone.css", "phone.css", _CSS),
    *(
        (f"ShowPhone{name.title()}Script", f"{PATH}/{name}.js", f"{name}.js", _JS)
        for name in ("phone", "call", "signal")
    ),
)

HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self';"
    " connect-src 'self'; img-src data:; media-src 'self'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'",
    "Permissions-Policy": "microphone=(self), speaker-selection=(self), camera=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


class PhoneTokenBody(msgspec.Struct, frozen=True, kw_only=True):
    """An Access Token, and until when it counts, in seconds since the epoch."""

    token: str
    identity: str
    expires: int

    def __repr__(self) -> str:
        return f"PhoneTokenBody({self.identity!r})"


class IceBody(msgspec.Struct, frozen=True, kw_only=True):
    """What `iceServers` of a browser should be."""

    ice_servers: tuple[dict[str, str], ...]


def _showing(file: str, content_type: str) -> Handler:
    answer = Answer(200, (_FOLDER / file).read_bytes(), content_type, HEADERS)

    async def show(call: Call) -> Result:
        return answer

    what = "The softphone, a page for a browser." if file == "index.html" else "A part of it."
    show.__doc__ = what
    return show


async def make_token(call: Call) -> Result:
    """An Access Token for the softphone, where HTTP is listened at for this machine alone."""
    services, identity, sid = call.services, call.text("Identity"), call.text("ApplicationSid")
    if not services.is_local:
        said = "Others reach this listener, so type no auth token into a page of it:"
        return refuse(20006, f"{said} `trunkline token` makes an Access Token")
    if not 0 < len(identity) <= LONGEST_IDENTITY or not identity.isprintable():
        return refuse(20001, f"Identity should have 1 to {LONGEST_IDENTITY} characters")
    ttl = int(call.text("Ttl") or _HOUR)
    if not 0 < ttl <= LONGEST:
        return refuse(20001, f"Ttl should be 1 to {int(LONGEST)} seconds")
    if sid and await applications.get(services.store, call.account.sid, sid) is None:
        return refuse(21218, f"The account has no application {sid[:40]}")
    key = await _key(call)
    if isinstance(key, Refusal):
        return key
    token = mint(key, Grant(identity=identity, outgoing_application_sid=sid), call.now, ttl)
    expires = int(call.now) + ttl
    return answer_json(PhoneTokenBody(token=token, identity=identity, expires=expires), 201)


async def _key(call: Call) -> Key | Refusal:
    """The account's key for softphones."""
    keys = call.services.keys
    for key in keys.of_account(call.account.sid):
        if key.friendly_name == KEY_NAME:
            return key
    try:
        return await keys.add(call.account.sid, KEY_NAME, call.now)
    except Full as error:
        return refuse(20010, f"The account has {error} keys, which is all: delete one first")
    except Closed:
        return refuse(20005, "The account was closed")


async def ice(call: Call) -> Result:
    """What helps who shows an Access Token to a path: STUN and TURN servers, with credentials."""
    services = call.services

    def is_active(sid: str) -> bool:
        account = services.accounts.get(sid)
        return account is not None and account.status is AccountStatus.ACTIVE

    told = Tokens(services.keys.find, is_active).verify(call.text("Token"), call.now)
    if isinstance(told, Invalid):
        return refuse(told.code, told.message)
    left = max(1, int(told.expires - call.now))
    # One for each person, however often they ask: a server may bound what each relays.
    who = hashlib.sha256(told.identity.encode()).hexdigest()[:32]
    name = f"{told.account_sid}.{who}"
    made = mint_credential(services.ice_servers(), name, call.now, left)
    return answer_json(IceBody(ice_servers=made.ice_servers))


OPERATIONS: Final = (
    *(
        Operation(
            *(id, "GET", path, _showing(file, content_type), Access.PUBLIC),
            returns=str,
            produces=content_type.partition(";")[0],
        )
        for id, path, file, content_type in _FILES
    ),
    Operation(
        *("MakePhoneToken", "POST", f"{PATH}/token", make_token, Access.OWNER_WRITE),
        params=(
            Param(name="Identity", required=True, doc="The name under which it is called."),
            Param(name="ApplicationSid", doc="Whose VoiceUrl says what its calls do."),
            Param(name="Ttl", kind=Kind.INTEGER, doc="Seconds for which it counts; 3600."),
        ),
        status=201,
        returns=PhoneTokenBody,
    ),
    Operation(
        *("ShowIceServers", "POST", f"{PATH}/ice", ice, Access.PUBLIC),
        params=(Param(name="Token", required=True, doc="An Access Token."),),
        returns=IceBody,
    ),
)
