"""Status callbacks of messages: which states have one, and what it says.

Twilio sends them for changes after creation only: `sent` or `failed`, then `delivered` or
`undelivered`, and `canceled`; never the initial state, never `sending`. How one is sent stands in
`gateway/webhooks/callbacks`.
"""

from typing import Final

from gateway.core.runner import Job
from gateway.messages.customers import jobs as customer_jobs
from gateway.messages.draft import CUSTOMER
from gateway.model import Message, MessageStates, MessageStatus
from gateway.webhooks.callbacks import Patience, Payload, callback

KIND: Final = "message_status"
API_VERSION: Final = "2010-04-01"


_TOLD: Final = {
    MessageStates.ALL: frozenset(
        {
            MessageStatus.SENT,
            MessageStatus.DELIVERED,
            MessageStatus.UNDELIVERED,
            MessageStatus.FAILED,
            MessageStatus.CANCELED,
        }
    ),
    MessageStates.FINAL: frozenset(
        {
            MessageStatus.DELIVERED,
            MessageStatus.UNDELIVERED,
            MessageStatus.FAILED,
            MessageStatus.CANCELED,
        }
    ),
}


class CallbackPolicy(Patience, frozen=True, kw_only=True):
    """`states` to tell; `retry_for` seconds until a callback that fails is given up."""

    states: MessageStates


def for_status(message: Message, now: float, policy: CallbackPolicy) -> list[Job]:
    """The jobs that tell of the state `message` is in: one or none."""
    url = message.status_callback
    if message.origin.startswith(CUSTOMER):
        return customer_jobs.for_status(message, now)
    if not url or message.status not in _TOLD[policy.states]:
        return []
    payload = Payload(
        url=url, method=message.status_callback_method, parameters=parameters_of(message)
    )
    return [callback(KIND, message.account_sid, message.sid, payload, now, policy)]


def parameters_of(message: Message) -> list[tuple[str, str]]:
    """The form of a status callback (`webhooks` of Twilio's messaging API)."""
    parameters = [
        ("SmsSid", message.sid),
        ("SmsStatus", message.status.value),
        ("MessageStatus", message.status.value),
        ("To", message.to_address),
        ("MessageSid", message.sid),
        ("AccountSid", message.account_sid),
        ("From", message.from_address),
        ("ApiVersion", API_VERSION),
    ]
    if message.error_code:
        parameters.append(("ErrorCode", str(message.error_code)))
    return parameters
