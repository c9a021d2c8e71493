"""Where a URL in a document leads."""

from urllib.parse import urljoin


def absolute(base: str, reference: str) -> str:
    """`reference` as it is meant in the document that came from the URL `base`.

    The fragment of `base`, its connection overrides, is inherited only by a reference to the same
    document. What can't be read is left as it is, to whoever asks it.
    """
    try:
        return urljoin(base, reference)
    except ValueError:
        return reference
