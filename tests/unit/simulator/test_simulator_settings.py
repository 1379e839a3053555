"""The simulator's settings."""

import pytest

from services.simulator.errors import SettingsError
from services.simulator.settings import Settings, is_loopback, load


def problems(**environment):
    with pytest.raises(SettingsError) as caught:
        load(environment)
    return caught.value.problems


def test_nothing_set_gives_the_defaults_and_empty_is_nothing():
    assert load({}) == Settings()
    assert load({"SIMULATOR_PORT": " ", "AWS_REGION": ""}) == Settings()


def test_settings_are_read():
    settings = load({"SIMULATOR_RATE": "24", "SIMULATOR_QUOTA": "-1", "AWS_REGION": "us-east-1"})
    assert (settings.rate, settings.quota, settings.region) == (24.0, -1.0, "us-east-1")


def test_shares_cannot_exceed_one_together():
    said = problems(SIMULATOR_BOUNCE_SHARE="0.6", SIMULATOR_COMPLAINT_SHARE="0.6")
    assert len(said) == 1
    assert problems(SIMULATOR_RATE="nan", SIMULATOR_LATENCY_MS="-1", SIMULATOR_PORT="1.5")
    assert problems(SIMULATOR_CHECK_SIGNATURES="1")


def test_demo_settings_are_no_production():
    load({"AWS_ACCESS_KEY_ID": "simulator", "SERVER_URL": "http://localhost:8080"})
    load({"SERVER_URL": "http://[::1]:8080"})


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "LOCALHOST", "::1"])
def test_loopback(host):
    assert is_loopback(host)


@pytest.mark.parametrize("host", [None, "", "0.0.0.0", "10.0.0.1", "localhost.example.com"])
def test_not_loopback(host):
    assert not is_loopback(host)
