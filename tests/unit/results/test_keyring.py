"""The keyring: one fetch for many posts, failures that pass, bounds that hold."""

import pytest

from services.results.certificate import Certificate, Fetched, Source, Unfit
from services.results.keyring import FAILURE_S, Keyring
from shared.clock import Now
from tests.unit.results.rig import CERT_URL, NOW, TiedFetch, make_pem


def source(number=0):
    return Source(f"{CERT_URL}{number or ''}", "sns.eu-west-1.amazonaws.com", loopback=False)


def later(seconds):
    return Now(NOW.mono + seconds, NOW.wall + seconds)


@pytest.fixture
def fetch():
    return TiedFetch()


@pytest.fixture
def keyring(fetch):
    return Keyring(fetch)


def test_a_certificate_is_fetched_once_and_then_at_hand(keyring, fetch, sns):
    assert keyring.find(source(), NOW) is None
    assert keyring.find(source(), NOW) is None
    assert keyring.is_fetching
    assert keyring.collect(NOW) == []
    fetch.fetched = [Fetched(CERT_URL, sns.pem)]
    assert keyring.collect(NOW) == [CERT_URL]
    assert isinstance(keyring.find(source(), later(86400)), Certificate)
    assert (fetch.asked, keyring.fetches, keyring.is_fetching) == ([CERT_URL], 1, False)


@pytest.mark.against("N6")
@pytest.mark.parametrize("fetched", [Fetched(CERT_URL, b"", "404"), Fetched(CERT_URL, b"<Error/>")])
def test_a_failure_is_believed_for_a_short_while_only(keyring, fetch, sns, fetched):
    assert FAILURE_S <= 30
    keyring.find(source(), NOW)
    fetch.fetched = [fetched]
    assert keyring.collect(NOW) == [CERT_URL]
    assert isinstance(keyring.find(source(), later(FAILURE_S - 0.1)), Unfit)
    assert CERT_URL in keyring.trouble
    keyring.collect(later(FAILURE_S))
    assert keyring.trouble == ""
    assert keyring.find(source(), later(FAILURE_S)) is None
    assert len(fetch.asked) == 2
    fetch.fetched = [Fetched(CERT_URL, sns.pem)]
    keyring.collect(later(FAILURE_S + 1))
    assert isinstance(keyring.find(source(), later(FAILURE_S + 1)), Certificate)


@pytest.mark.against("N6")
def test_a_fetch_that_never_ends_is_given_up(keyring, fetch, sns):
    keyring.find(source(), NOW)
    assert keyring.collect(later(9.9)) == []
    assert keyring.collect(later(10)) == [CERT_URL]
    assert isinstance(keyring.find(source(), later(10)), Unfit)
    fetch.fetched = [Fetched(CERT_URL, sns.pem)]
    assert keyring.collect(later(11)) == []


def test_a_certificate_past_its_dates_is_fetched_anew(keyring, fetch, sns):
    keyring.find(source(), NOW)
    fetch.fetched = [Fetched(CERT_URL, make_pem(sns.key, ends=0.5))]
    keyring.collect(NOW)
    assert isinstance(keyring.find(source(), NOW), Certificate)
    assert keyring.find(source(), later(86400)) is None
    assert len(fetch.asked) == 2


@pytest.mark.against("A33")
def test_few_fetches_run_at_once(keyring, fetch):
    found = [keyring.find(source(number), NOW) for number in range(1, 100)]
    assert found.count(None) == len(fetch.asked) == 8
    assert all(isinstance(one, Unfit) for one in found[8:])


@pytest.mark.against("N6")
def test_failures_are_bounded_and_crowd_no_certificate_out(keyring, fetch, sns):
    keyring.find(source(), NOW)
    fetch.fetched = [Fetched(CERT_URL, sns.pem)]
    keyring.collect(NOW)
    for number in range(1, 2000):
        keyring.find(source(number), NOW)
        fetch.fetched = [Fetched(source(number).url, b"", "404")]
        keyring.collect(NOW)
    assert isinstance(keyring.find(source(), NOW), Certificate)
    assert len(keyring._failed) <= 256
    for number in range(1, 200):
        keyring.find(source(10_000 + number), NOW)
        fetch.fetched = [Fetched(source(10_000 + number).url, sns.pem)]
        keyring.collect(NOW)
    assert len(keyring._known) <= 64


def test_what_nobody_asked_for_is_not_taken(keyring, fetch, sns):
    fetch.fetched = [Fetched(CERT_URL, sns.pem)]
    assert keyring.collect(NOW) == []
    assert keyring.find(source(), NOW) is None
