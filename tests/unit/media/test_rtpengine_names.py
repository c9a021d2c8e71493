"""Names of fronts: who may delete what another process left."""

import re
from pathlib import Path

from gateway.media.rtpengine.names import fresh_names, names_in


def test_the_next_process_with_the_same_folder_knows_what_the_one_before_left(
    tmp_path: Path,
) -> None:
    before = names_in(tmp_path)
    left = [before.new("a"), before.new("a")]
    assert len(set(left)) == 2
    assert before.left_over(left) == []
    after = names_in(tmp_path)
    ours = after.new("a")
    assert after.left_over([left[0], ours, "x", "", left[1]]) == left


def test_nobody_knows_what_is_anothers(tmp_path: Path) -> None:
    here, there = names_in(tmp_path), names_in(tmp_path / "nowhere")
    others = [there.new("a"), fresh_names().new("a"), here.new("a")[1:], f"x{here.new('a')}"]
    assert here.left_over(others) == []
    assert not (tmp_path / "nowhere").exists()  # it is kept by nobody, and works


def test_a_token_that_is_none_is_thrown_anew_and_kept(tmp_path: Path) -> None:
    file = tmp_path / "rtpengine.token"
    for text in (b"", b"\xff", b"12345", b"a1b2c3d4e5", b"*"):
        file.write_bytes(text)
        left = names_in(tmp_path).new("a")
        assert names_in(tmp_path).left_over([left]) == [left]


def test_starts_are_many_enough_that_no_two_are_the_same(tmp_path: Path) -> None:
    for names in (fresh_names(), names_in(tmp_path), names_in(tmp_path)):
        assert re.fullmatch("[0-9a-f]{8}-[0-9a-f]{8}-1-a", names.new("a"))
