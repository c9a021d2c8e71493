"""Credentials of a TURN server, made without asking it: coturn's shared secret (`use-auth-secret`).

A name begins with the second in which it ends, and its password is made of the name and the
secret. So whoever relays for us judges by itself, and nothing of a credential has to be kept here.
"""

import hmac
from base64 import b64encode
from typing import Final

import msgspec

_TURN: Final = ("turn:", "turns:")


class IceServers(msgspec.Struct, frozen=True, kw_only=True):
    """What helps browsers find a path: URLs `stun:…` and `turn:…`, the secret that all TURN servers
    among them know, and how long a credential counts at most. `repr` shows nothing of the secret.
    """

    urls: tuple[str, ...] = ()
    secret: str = ""
    ttl: int = 86_400

    def __repr__(self) -> str:
        return f"IceServers({self.urls!r})"


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """A name and its password, for `ttl` seconds, and the servers as a browser is told of them.

    Where there is no TURN server there is nothing to log in to, and both are empty.
    """

    username: str
    password: str
    ttl: int
    ice_servers: tuple[dict[str, str], ...]

    def __repr__(self) -> str:
        return f"Credential({self.username!r})"


def mint(servers: IceServers, name: str, now: float, ttl: int) -> Credential:
    """A credential for who is called `name`, for `ttl` seconds, or as long as there may be one."""
    ttl = min(ttl, servers.ttl)
    username = password = ""
    if any(url.startswith(_TURN) for url in servers.urls):
        username = f"{int(now) + ttl}:{name}"
        digest = hmac.digest(servers.secret.encode(), username.encode(), "sha1")
        password = b64encode(digest).decode()
    return Credential(
        username=username,
        password=password,
        ttl=ttl,
        ice_servers=tuple(_told(url, username, password) for url in servers.urls),
    )


def _told(url: str, username: str, password: str) -> dict[str, str]:
    """A server as `RTCPeerConnection` takes it; `url` is what older browsers read."""
    server = {"url": url, "urls": url}
    if url.startswith(_TURN):
        server |= {"username": username, "credential": password}
    return server
