"""Where one character ends for a person."""

import pytest

from protocols.smpp.graphemes import is_border


@pytest.mark.parametrize(
    "cluster",
    [
        "e\u0301",
        "e\u0301\u0323",
        "\r\n",
        "👍🏽",
        "❤\ufe0f",
        "1\ufe0f\u20e3",
        "👩\u200d👩\u200d👧\u200d👦",
        "🏳\ufe0f\u200d🌈",
        "👩🏽\u200d🚀",
        "🇩🇪",
        "🏴\U000e0067\U000e0062\U000e007f",
        "क\u093f",
        "\u1112\u1161\u11ab",
        "한",
        "하\u11ab",
    ],
)
def test_a_cluster_has_no_border_inside_and_one_at_each_end(cluster: str) -> None:
    text = f"ж{cluster}ж{cluster}{cluster}"
    length = len(cluster)
    borders = {index for index in range(len(text) + 1) if is_border(text, index)}
    assert borders == {0, 1, 1 + length, 2 + length, 2 + 2 * length, 2 + 3 * length}


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("ab", 1),
        ("\n\u0301", 1),
        ("\n\r", 1),
        ("a\u200d😀", 2),  # GB11 needs a pictograph before the joiner
        ("🇩🇪🇫🇷", 2),
        ("😀😀", 1),
        ("한\u1112", 1),
        ("한\u1161", 1),
    ],
)
def test_borders_between_neighbours(text: str, index: int) -> None:
    assert is_border(text, index)


def test_nothing_left_of_the_start_is_looked_at() -> None:
    text = "🇩🇪🇫🇷"
    assert not is_border(text, 3, 2)
    assert is_border(text, 3, 1)
