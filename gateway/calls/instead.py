"""Another document for a call that is up, as REST wants it: at a URL, or as it is."""

from gateway.calls.documents import Documents, Obtained
from gateway.calls.hands import Hands
from gateway.calls.line import Line
from gateway.calls.orders import Redirect
from gateway.webhooks.instructions import Fallback
from twiml.outcome import Goto
from twiml.voice import Interpreter

__all__ = ["run_instead"]


def run_instead(
    order: Redirect, documents: Documents, line: Line, hands: Hands, interpreter: Interpreter
) -> str:
    """Leave whatever runs for what `order` says; why that can't be run, "" if it can."""
    if order.url:
        if order.fallback_url:
            hands.fall_back_to(Fallback(url=order.fallback_url, method=order.fallback_method))
        interpreter.start(Goto(url=order.url, method=order.method))
        return ""
    found = documents.inline(line.call, order.twiml)
    hands.keep(found.notes)
    if not isinstance(found, Obtained):
        return found.reason
    interpreter.run(found.document, found.base)
    return ""
