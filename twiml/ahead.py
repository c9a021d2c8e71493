"""What is heard next in a document, as far as that can be told while something else is heard."""

from collections.abc import Iterable

from twiml.machine import resolved
from twiml.verbs import Gather, Pause, Play, Say, VoiceVerb

__all__ = ["upcoming"]


def upcoming(verbs: Iterable[VoiceVerb], base: str) -> Say | Play | None:
    """The prompt that `verbs` begin with, whatever silence comes before it; None for none.

    Its URL is absolute, as it is when its turn comes. What only presses keys is no prompt.
    """
    for verb in verbs:
        match verb:
            case Pause():
                continue
            case Gather(prompts=prompts):
                return upcoming(prompts, base)
            case Say():
                return verb
            case Play(digits=""):
                return resolved(verb, base, "url")
            case _:
                return None
    return None
