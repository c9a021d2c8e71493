"""Credentials that went by, judged by a second writing of RFC 7616's arithmetic."""

import hashlib
import re

_HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}


def wrong_credentials(messages: str, user: str, password: str) -> list[str]:
    """The credentials among `messages` that `user` and `password` do not explain, by their line.

    An ACK repeats those of its INVITE (RFC 3261 §22.1)."""
    return [
        line
        for method, line in _given(messages)
        if method != "ACK" and not _is_right(_parameters(line), method, user, password)
    ]


def count_credentials(messages: str) -> int:
    """How many requests among `messages` carry credentials."""
    return len(_given(messages))


def _given(messages: str) -> list[tuple[str, str]]:
    found = []
    method = ""
    for line in messages.splitlines():
        if request := re.match(r"([A-Z]+) sips?:\S+ SIP/2\.0$", line):
            method = request[1]
        if re.match(r"(Proxy-)?Authorization:", line):
            found.append((method, line))
    return found


def _parameters(line: str) -> dict[str, str]:
    return {name: value.strip('"') for name, value in re.findall(r'(\w+)=("[^"]*"|[^,\s]+)', line)}


def _is_right(given: dict[str, str], method: str, user: str, password: str) -> bool:
    hashed = _HASHES[given.get("algorithm", "MD5")]

    def digest(*parts: str) -> str:
        return hashed(":".join(parts).encode()).hexdigest()

    secret = digest(user, given["realm"], password)
    asked = digest(method, given["uri"])
    if "qop" not in given:
        return given["response"] == digest(secret, given["nonce"], asked)
    once = (given["nonce"], given["nc"], given["cnonce"], given["qop"])
    return given["username"] == user and given["response"] == digest(secret, *once, asked)
