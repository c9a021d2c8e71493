"""`token`: an Access Token, with which a browser calls and is called.

It is signed here, with a key of the account that is made at the first time and kept in the data
folder: whoever can read that has the account's auth token anyway.
"""

import json
import os
import time
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from gateway.cli import show
from gateway.cli.client import Gateway, GatewayError, Refused, program, segment

if TYPE_CHECKING:
    from gateway.access.tokens import Grant

FILE: Final = "access-keys.json"
_NAME: Final = "trunkline token"
_DAY: Final = 24 * 3600


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(token)


def token(
    identity: Annotated[str, typer.Option(help="The name under which it is called.")],
    outgoing_application: Annotated[
        str, typer.Option(help="The application (AP…) whose VoiceUrl says what its calls do.")
    ] = "",
    ttl: Annotated[int, typer.Option(min=60, max=_DAY, help="Seconds for which it counts.")] = 3600,
    data: show.Data = show.DATA,
) -> None:
    """Print an Access Token, and how to use it.

    The token alone goes to standard output: TOKEN=$(trunkline token --identity alice)
    """
    from gateway.access.keys import Key
    from gateway.access.tokens import LONGEST_IDENTITY, Grant, mint

    if not 0 < len(identity) <= LONGEST_IDENTITY or not identity.isprintable():
        raise GatewayError(f"an identity has 1 to {LONGEST_IDENTITY} characters, such as alice")
    gateway = Gateway.find(data)
    if outgoing_application:
        _check_application(gateway, outgoing_application)
    sid, secret = _key(gateway, data / FILE)
    now = time.time()
    key = Key(
        account_sid=gateway.account_sid,
        sid=sid,
        friendly_name=_NAME,
        secret=secret,
        date_created=now,
        date_updated=now,
    )
    grant = Grant(identity=identity, outgoing_application_sid=outgoing_application)
    made = mint(key, grant, now, ttl)
    typer.echo(made)
    typer.echo(_usage(gateway, made, grant, sid, now + ttl), err=True)


def _check_application(gateway: Gateway, sid: str) -> None:
    try:
        gateway.get(f"{gateway.account_path}/Applications/{segment(sid)}.json")
    except Refused as refused:
        if refused.status == HTTPStatus.NOT_FOUND:
            raise GatewayError(f"the account has no application {sid!r}") from None
        raise


def _key(gateway: Gateway, path: Path) -> tuple[str, str]:
    """SID and secret of the account's key: the one that is kept, if it is still there."""
    kept = _kept(path)
    known = kept.get(gateway.account_sid)
    if known is not None and _is_there(gateway, known[0]):
        return known
    keys = f"{gateway.account_path}/Keys.json"
    made = gateway.post(keys, FriendlyName=_NAME)
    kept[gateway.account_sid] = made["sid"], made["secret"]
    _keep(path, kept)
    return kept[gateway.account_sid]


def _is_there(gateway: Gateway, sid: str) -> bool:
    try:
        gateway.get(f"{gateway.account_path}/Keys/{segment(sid)}.json")
    except Refused as refused:
        if refused.status == HTTPStatus.NOT_FOUND:
            return False
        raise
    return True


def _kept(path: Path) -> dict[str, tuple[str, str]]:
    try:
        found = json.loads(path.read_bytes())
        return {account: (str(sid), str(secret)) for account, (sid, secret) in found.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise GatewayError(f"{path} can't be read ({error}); mend it, or remove it") from None


def _keep(path: Path, keys: dict[str, tuple[str, str]]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(keys, file, indent=2)
            file.write("\n")
        fresh.replace(path)
    except OSError as error:
        raise GatewayError(f"the key can't be kept in {path}: {error.strerror}") from None


def _usage(gateway: Gateway, made: str, grant: "Grant", key_sid: str, until: float) -> str:
    application = grant.outgoing_application_sid
    when = datetime.fromtimestamp(until).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
    calls = (
        f"its calls do what {application} says"
        if application
        else "it calls nobody: give --outgoing-application, one with a VoiceUrl"
    )
    place = gateway.secure_place
    sdk = (
        f"new Twilio.Device(token, {{ chunderw: '{place}' }}); more in docs/calls.md"
        if place
        else "it speaks TLS alone: give [http] tls_listen, as docs/calls.md shows"
    )
    return (
        f"\n{grant.identity} until {when}; {calls}.\n"
        f"Softphone: {gateway.url}/phone#{made}\n"
        f"Voice SDK: {sdk}\n"
        f"To end all tokens of {program()} token: {program()} keys revoke {key_sid}"
    )
