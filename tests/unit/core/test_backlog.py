"""What stays in the store alone, and from where it is read."""

from gateway.core.backlog import Backlog, Bounds, Place

BOUNDS = Bounds(per_endpoint=100, total=1000)


def at(job_id: str, generation: int = 7) -> Place:
    return generation, job_id


def admit(backlog: Backlog, endpoint: str, place: Place, held: int, total: int) -> bool:
    taken = backlog.takes(endpoint, held, total)
    if not taken:
        backlog.leave(endpoint, place)
    return taken


def test_jobs_are_admitted_while_their_endpoint_has_room() -> None:
    backlog = Backlog(BOUNDS)
    assert admit(backlog, "e", at("JB1"), held=99, total=99)
    assert not admit(backlog, "e", at("JB2"), held=100, total=100)
    assert not admit(backlog, "e", at("JB3"), held=0, total=0), "order: those behind come first"
    assert admit(backlog, "other", at("JB4"), held=0, total=100)
    assert list(backlog) == ["e"] and "e" in backlog and len(backlog) == 1


def test_when_all_is_full_each_endpoint_still_gets_a_few() -> None:
    backlog = Backlog(BOUNDS)
    assert admit(backlog, "small", at("JB1"), held=15, total=1000)
    assert not admit(backlog, "big", at("JB2"), held=16, total=1000)
    assert backlog.room(held=3, total=1000) == 13
    assert backlog.room(held=3, total=980) == 20, "what is left of the whole"
    assert backlog.room(held=3, total=995) == 13
    assert backlog.room(held=40, total=999) == 1
    assert backlog.room(held=40, total=500) == 60
    assert backlog.room(held=100, total=500) == 0


def test_a_page_begins_before_the_first_that_was_left_out() -> None:
    backlog = Backlog(BOUNDS)
    admit(backlog, "e", at("JB0005"), held=100, total=100)
    assert at("JAffff") < backlog.begin("e") < at("JB0005")


def test_reading_goes_on_after_a_full_page_and_ends_with_a_short_one() -> None:
    backlog = Backlog(BOUNDS)
    admit(backlog, "e", at("JB0005"), held=100, total=100)
    backlog.begin("e")
    backlog.end("e", at("JB0104"))
    assert backlog.begin("e") == at("JB0104")
    backlog.end("e", None)
    assert "e" not in backlog
    assert admit(backlog, "e", at("JB0300"), held=50, total=50)


def test_what_comes_while_a_page_is_read_is_read_next() -> None:
    backlog = Backlog(BOUNDS)
    admit(backlog, "e", at("JB0005"), held=100, total=100)
    backlog.begin("e")
    admit(backlog, "e", at("JB0203"), held=10, total=10)
    admit(backlog, "e", at("JB0201"), held=10, total=10)
    backlog.end("e", None)
    assert at("JB0104") < backlog.begin("e") < at("JB0201")


def test_a_job_older_than_the_page_is_not_skipped() -> None:
    backlog = Backlog(BOUNDS)
    admit(backlog, "e", at("JB0105"), held=100, total=100)
    backlog.begin("e")
    admit(backlog, "e", at("JB0050"), held=10, total=10)
    backlog.end("e", at("JB0204"))
    assert backlog.begin("e") < at("JB0050")


def test_a_page_is_read_when_half_of_the_room_is_free() -> None:
    backlog = Backlog(BOUNDS)
    assert not backlog.wants(held=51, total=51)
    assert backlog.wants(held=50, total=50)
    assert not backlog.wants(held=16, total=1000)
    assert backlog.wants(held=8, total=1000)


def test_a_job_older_than_all_before_is_not_skipped() -> None:
    """Recovery takes in the newest jobs first."""
    backlog = Backlog(BOUNDS)
    admit(backlog, "e", at("JB0105"), held=100, total=100)
    admit(backlog, "e", at("JB0050"), held=100, total=100)
    assert at("JB0049") < backlog.begin("e") < at("JB0050")
    backlog.end("e", at("JB0060"))
    assert backlog.begin("e") == at("JB0060")


def test_an_older_generation_comes_before_a_newer_one_whatever_the_ids_say() -> None:
    """Those of a database from before there were generations say the hour of a newer one."""
    backlog = Backlog(BOUNDS)
    admit(backlog, "e", at("JB0300", 8), held=100, total=100)
    admit(backlog, "e", at("JB0500", 0), held=100, total=100)
    assert at("JB0499", 0) < backlog.begin("e") < at("JB0500", 0)
    backlog.end("e", at("JB9999", 0))
    assert backlog.begin("e") < at("JB0300", 8)


def test_what_is_given_up_is_not_read_any_more() -> None:
    backlog = Backlog(BOUNDS)
    for endpoint in ("e", "f"):
        backlog.leave(endpoint, at("JB0005"))
    backlog.begin("e")
    backlog.forget("e".__eq__)
    backlog.end("e", at("JB0100"))
    assert list(backlog) == ["f"]
