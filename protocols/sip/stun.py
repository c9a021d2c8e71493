"""Signs of life over UDP: a Binding request of STUN gets its answer (RFC 5626 §8, RFC 5389).

A phone whose flow is kept asks like this whether it still stands, and where it seems to come from:
an address that changed means that a NAT forgot it. Nothing else of STUN is spoken here.
"""

from ipaddress import ip_address
from typing import Final

_REQUEST: Final = b"\x00\x01"
_SUCCESS: Final = b"\x01\x01"
_COOKIE: Final = b"\x21\x12\xa4\x42"
_XOR_MAPPED_ADDRESS: Final = b"\x00\x20"
_HEAD: Final = 20
_FAMILIES: Final = {4: b"\x00\x01", 6: b"\x00\x02"}


def answer(octets: bytes, remote: tuple[str, int]) -> bytes | None:
    """The answer to a datagram that came from `remote`; None if it is no Binding request."""
    if len(octets) < _HEAD or octets[:2] != _REQUEST or octets[4:8] != _COOKIE:
        return None
    length = int.from_bytes(octets[2:4], "big")
    if length % 4 or length != len(octets) - _HEAD:
        return None
    transaction = octets[8:_HEAD]
    address = ip_address(remote[0].partition("%")[0])
    port = _mixed(remote[1].to_bytes(2, "big"), _COOKIE)
    value = _FAMILIES[address.version] + port + _mixed(address.packed, _COOKIE + transaction)
    mapped = _XOR_MAPPED_ADDRESS + len(value).to_bytes(2, "big") + value
    return _SUCCESS + len(mapped).to_bytes(2, "big") + _COOKIE + transaction + mapped


def _mixed(plain: bytes, key: bytes) -> bytes:
    return bytes(one ^ other for one, other in zip(plain, key, strict=False))
