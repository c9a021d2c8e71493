"""What a caller hears when neither an app nor its fallback says what to do: Twilio's words.

Who is not answered yet is answered for them, as at Twilio: such a call is `completed`, with the
error that its app came to.
"""

import asyncio
import contextlib
from typing import Final

from gateway.calls.media import NoMedia
from gateway.calls.prompting import Prompting
from twiml.verbs import Say

__all__ = ["SORRY", "apologise"]

SORRY: Final = Say(text="We're sorry, an application error has occurred. Goodbye.")
_PATIENCE: Final = 20.0  # seconds for it to be made and heard


async def apologise(prompting: Prompting) -> None:
    """Let it be heard, as far as that is possible."""
    with contextlib.suppress(NoMedia, TimeoutError):
        async with asyncio.timeout(_PATIENCE):
            await prompting.say(SORRY)
