"""Ids of a process: different among themselves and from those of every other process."""

from services.api.serial import Serial


def test_ids_have_their_length_and_follow_each_other():
    serial = Serial(32)
    made = [serial.next() for _ in range(1000)]
    assert {len(one) for one in made} == {32}
    assert made == sorted(set(made))
    assert int(made[0], 16) > 0


def test_another_process_begins_elsewhere():
    assert len({Serial(32).next()[:16] for _ in range(100)}) == 100
