"""The reader of traces: an answer counts as covered only behind the fsync of its commit."""

import pytest

from tests.crash.syscalls import Answer, answers, answers_to_calls, calls

WAL = "/data/trunkline.db-wal"
SID = "SM" + "0123456789abcdef" * 2
PAGE = f"a page with {SID} in it".encode()
FULL = b"\0\0\0\1" + b"\0\0\0\7" + b"\0" * 16  # the header of a frame that ends a commit
INNER = b"\0\0\0\1" + b"\0\0\0\0" + b"\0" * 16
CREATED = f'HTTP/1.1 201 Created\r\n\r\n{{"sid": "{SID}"}}'.encode()


def hexed(octets: bytes) -> str:
    return "".join(f"\\x{octet:02x}" for octet in octets)


def write(data: bytes) -> str:
    return f'11 pwrite64(5<{hexed(WAL.encode())}>, "{hexed(data)}", {len(data)}, 0) = {len(data)}'


def sync(result: int = 0) -> str:
    return f"11 fdatasync(5<{hexed(WAL.encode())}>) = {result}"


def answer(data: bytes = CREATED) -> str:
    return f'10 write(9<{hexed(b"socket:[77]")}>, "{hexed(data)}", {len(data)}) = {len(data)}'


def faults(*lines: str) -> list[str]:
    return [each.fault for each in answers(calls(lines))]


def test_an_answer_behind_the_fsync_of_its_commit_is_covered() -> None:
    lines = (write(INNER), write(PAGE), write(FULL), write(b"last"), sync(), answer())
    assert answers(calls(lines)) == [Answer(sid=SID, fault="")]


def test_an_answer_before_the_fsync_ended_is_not() -> None:
    begun = f"11 fdatasync(5<{hexed(WAL.encode())}> <unfinished ...>"
    resumed = "11 <... fdatasync resumed>) = 0"
    commit = (write(FULL), write(PAGE))
    assert faults(*commit, begun, resumed, answer()) == [""]
    assert "it left in line 4" in faults(*commit, begun, answer(), resumed)[0]
    assert "no fsync" in faults(*commit, begun, answer())[0]


def test_an_fsync_before_the_commit_does_not_cover_it() -> None:
    assert "no fsync" in faults(sync(), write(FULL), write(PAGE), answer())[0]


def test_an_fsync_in_the_middle_of_the_commit_does_not_cover_it() -> None:
    lines = (write(INNER), write(PAGE), sync(), write(FULL), write(b"last"), answer())
    assert "no fsync" in faults(*lines)[0]


def test_an_fsync_of_another_file_or_a_failed_one_does_not_cover_it() -> None:
    other = sync().replace(hexed(WAL.encode()), hexed(b"/data/trunkline.db"))
    assert "no fsync" in faults(write(FULL), write(PAGE), other, answer())[0]
    assert "no fsync" in faults(write(FULL), write(PAGE), sync(-1), answer())[0]


def test_the_first_commit_with_the_message_counts() -> None:
    later = (write(FULL), write(PAGE), sync())
    lines = (write(FULL), write(PAGE), answer(), *later)
    assert faults(*lines) != [""]


def test_an_answer_without_a_commit_is_found() -> None:
    assert "in no commit" in faults(write(FULL), write(b"another page"), sync(), answer())[0]


def test_head_and_body_may_be_written_in_pieces() -> None:
    head, body = CREATED[:40], CREATED[40:]
    pieces = f'[{{iov_base="{hexed(head)}", iov_len=40}}, {{iov_base="{hexed(body)}", iov_len=9}}]'
    line = f"10 writev(9<{hexed(b'socket:[77]')}>, {pieces}, 2) = 49"
    assert faults(write(FULL), write(PAGE), sync(), line) == [""]


@pytest.mark.parametrize("status", [b"200 OK", b"400 Bad Request", b"503 Service Unavailable"])
def test_only_201_promises(status: bytes) -> None:
    assert faults(answer(CREATED.replace(b"201 Created", status))) == []


CALL = "CA" + "0123456789abcdef" * 2
LEG = f"xx{CALL}\x01AC0inboundacme127.0.0.1:5060UDPfeed01".encode()
UP = f"xxAC0{CALL}inboundin-progress+44".encode()
RINGS = f"xxAC0{CALL}inboundringing+44".encode()
TAKEN = b"SIP/2.0 200 OK\r\nCall-ID: feed01\r\nCSeq: 1 INVITE\r\n\r\n"


def took(data: bytes = TAKEN) -> str:
    return f'10 sendto(9<{hexed(b"socket:[77]")}>, "{hexed(data)}", {len(data)}, 0) = {len(data)}'


def call_faults(*lines: str) -> list[str]:
    return [each.fault for each in answers_to_calls(calls(lines))]


def test_a_200_to_a_call_is_covered_by_the_commit_of_its_state() -> None:
    began = (write(FULL), write(LEG), write(FULL), write(RINGS), sync())
    answered = (write(FULL), write(UP), sync())
    assert call_faults(*began, *answered, took()) == [""]
    assert "it left in line" in call_faults(*began, took(), *answered)[0]
    assert "in no commit" in call_faults(*began, took())[0]
    assert "in no commit" in call_faults(*answered, took())[0]  # nobody knows whose it is


@pytest.mark.parametrize(
    "other", [TAKEN.replace(b"200 OK", b"180 Ringing"), TAKEN.replace(b"INVITE", b"BYE")]
)
def test_only_the_200_of_an_invite_promises(other: bytes) -> None:
    assert call_faults(took(other)) == []
