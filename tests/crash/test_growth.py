"""The soak's eye: it sees what grows, and is not alarmed by noise."""

import msgspec
import pytest

from scripts.benches import growth, soak, weather
from scripts.benches.growth import Sample
from services.simulator.faults import Script, problem_of


def sample(number: int, **more) -> Sample:
    """A run whose files grow with its rows, and nothing else does."""
    memory = {"api": 60.0 + number % 3, "writer": 50.0}
    rows = 1000 + 100 * number
    steady = Sample(memory, memory, rows * 400 / 1024**2, 8.0, rows, 20)
    return steady._replace(**more)


def growing(samples: list[Sample]) -> list[str]:
    return [line.name for line in growth.judge(samples) if line.grows]


def test_a_steady_run_grows_nowhere():
    assert growing([sample(number) for number in range(50)]) == []


@pytest.mark.parametrize(
    ("more", "found"),
    [
        (lambda n: {"pss": {"api": 60.0 + n, "writer": 9}}, ["PSS of api, MB", "PSS of all, MB"]),
        (lambda n: {"wal": 8.0 + n / 2}, ["WAL, MB"]),
        (lambda n: {"wal": 8.0 + 100 * (n == 30)}, ["WAL at most, MB"]),
        (lambda n: {"database": 0.4 * 1.05**n}, ["database by recipient, bytes"]),
        (lambda n: {"queued": 100 * n}, ["waiting, recipients"]),
    ],
)  # fmt: skip
def test_what_grows_is_named(more, found):
    assert growing([sample(number, **more(number)) for number in range(50)]) == found


def test_right_after_a_kill_a_sample_is_not_the_whole():
    samples = [sample(number) for number in range(50)]
    for number in range(10, 20):
        samples[number] = sample(number, pss={"writer": 50.0}, rss={"writer": 50.0})
    assert growing(samples) == []


@pytest.mark.parametrize("name", weather.FAULTS)
def test_the_simulator_knows_every_fault(name):
    script = msgspec.convert(weather.FAULTS[name], Script)
    assert problem_of(script) is None


def test_mail_and_kills_last_as_long_as_the_soak():
    plan = soak.Soak(minutes=15, rate=120, seed=1).plan
    assert plan.kills * sum(plan.pause) / 2 == pytest.approx(900, rel=0.02)
    assert plan.mails == 900 * plan.portion


@pytest.mark.parametrize("wrong", ["--minutes=0", "--rate=0.5", "--seed=x"])
def test_wrong_numbers_are_refused_before_anything_starts(wrong):
    with pytest.raises(SystemExit, match="2"):
        soak.main([wrong])
