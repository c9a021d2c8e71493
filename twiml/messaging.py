"""The interpreter for replies to a message: a document to what is sent and where it goes on.

It is pure. The caller sends the replies, and after a `Goto` fetches the next document and runs
that, through at most `MAX_DOCUMENTS` of them.
"""

import msgspec

from twiml.outcome import End, Goto, Next, Outcome
from twiml.parser import Document
from twiml.references import absolute
from twiml.verbs import Message, MessagingVerb, Redirect


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """A text to send; URLs are absolute. Its status callbacks go to `status_callback` if set."""

    to: str
    from_: str
    body: str
    media: tuple[str, ...] = ()
    status_callback: str = ""
    method: str = "POST"


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """What a document comes to: its replies in order, then its end or another document."""

    replies: tuple[Reply, ...]
    outcome: Goto | End


def interpret(document: Document[MessagingVerb], *, base: str, texter: str, number: str) -> Run:
    """Run `document`, which came from the URL `base`, for a text from `texter` to `number`."""
    replies: list[Reply] = []
    for verb in document.verbs:
        reply, outcome = _step(verb, base, texter, number)
        if reply is not None:
            replies.append(reply)
        match outcome:
            case Goto() | End():
                return Run(replies=tuple(replies), outcome=outcome)
            case Next():
                pass
    return Run(replies=tuple(replies), outcome=End())


def _step(verb: MessagingVerb, base: str, texter: str, number: str) -> tuple[Reply | None, Outcome]:
    match verb:
        case Message():
            return _reply(verb, base, texter, number), Next()
        case Redirect(method=method, url=url):
            return None, Goto(url=absolute(base, url), method=method)


def _reply(message: Message, base: str, texter: str, number: str) -> Reply:
    # `action` is the newer name; with both, Twilio reports to the one named for it.
    callback = message.status_callback or message.action
    return Reply(
        to=message.to or texter,
        from_=message.from_ or number,
        body=message.body,
        media=tuple(absolute(base, url) for url in message.media),
        status_callback=absolute(base, callback) if callback else "",
        method=message.method,
    )
