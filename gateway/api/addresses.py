"""Addresses as REST writes them: what a recipient and a sender look like, and who may use one."""

import re
from collections.abc import Callable
from typing import Final

from gateway.api.http import refuse
from gateway.messages.draft import Refusal
from gateway.phone_numbers import PhoneNumbers

_E164: Final = re.compile(r"\+[1-9][0-9]{6,14}")
_SHORT_CODE: Final = re.compile(r"[0-9]{3,8}")
_ALPHANUMERIC: Final = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9 .&_-]{1,11}")
_DECORATION: Final = str.maketrans("", "", " ().-\u00a0")


def is_e164(address: str) -> bool:
    return _E164.fullmatch(address) is not None


def recipient(given: str) -> str:
    if given.startswith(" "):
        given = "+" + given[1:]
    return given.translate(_DECORATION)


def sender(given: str) -> str:
    if _ALPHANUMERIC.fullmatch(given.strip()):
        return given.strip()
    address = recipient(given)
    return address if is_e164(address) or _SHORT_CODE.fullmatch(address) else ""


def may_send(numbers: PhoneNumbers, account_sid: str) -> Callable[[str], Refusal | None]:
    def judge(address: str) -> Refusal | None:
        held = numbers.holder(address)
        if held is None and not address[0].isdigit() and address[0] != "+":
            return None
        if held is not None and held.account_sid == account_sid:
            return None
        return refuse(21606, f"The 'From' number {address} is not a number of this account")

    return judge
