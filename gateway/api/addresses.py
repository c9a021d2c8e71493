"""Addresses as REST writes them."""

from carriers.numbers import Address, Invalid, check_from, check_to
from gateway.api.http import refuse
from gateway.messages.draft import Refusal


def recipient(given: str) -> str | Refusal:
    """The number `given` in E.164, or 21211."""
    checked = check_to(plus_restored(given))
    return _text(checked)


def sender(given: str) -> str | Refusal:
    """The sender `given`: E.164, a short code or a name; or 21212."""
    return _text(check_from(plus_restored(given)))


def plus_restored(given: str) -> str:
    """`given` with the `+` that a form decodes to a space where the client did not escape it."""
    return f"+{given[1:]}" if given[:1] == " " and given[1:].isdecimal() else given


def _text(checked: Address | Invalid) -> str | Refusal:
    if isinstance(checked, Invalid):
        return refuse(checked.error_code, checked.reason)
    return checked.text
