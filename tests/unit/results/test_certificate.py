"""Which address may serve a certificate, and which certificate is believed."""

import ssl

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from services.results.certificate import Certificate, Source, Unfit, find_source, load
from tests.unit.results.rig import CERT_URL, NOW, TOPIC, make_pem

FILE = CERT_URL.rpartition("/")[2]
HOST = "sns.eu-west-1.amazonaws.com"
ARABIC_ZERO = "\u0660"
AWS = Source(CERT_URL, HOST, loopback=False)
LOOPBACK = Source(f"http://127.0.0.1:9000/{FILE}", "127.0.0.1:9000", loopback=True)


def topic(region, partition="aws"):
    return f"arn:{partition}:sns:{region}:111122223333:ses"


@pytest.mark.parametrize(
    ("arn", "host"),
    [
        (topic("us-east-1"), "sns.us-east-1.amazonaws.com"),
        (topic("ap-northeast-2"), "sns.ap-northeast-2.amazonaws.com"),
        (topic("us-gov-west-1", "aws-us-gov"), "sns.us-gov-west-1.amazonaws.com"),
        (topic("cn-north-1", "aws-cn"), "sns.cn-north-1.amazonaws.com.cn"),
    ],
)
def test_the_host_of_the_topics_own_region_is_a_source(arn, host):
    assert find_source(f"https://{host}/{FILE}", arn, ()) == Source(
        f"https://{host}/{FILE}", host, loopback=False
    )


@pytest.mark.against("A9", "A33", "H52")
@pytest.mark.parametrize(
    "url",
    [
        "",
        f"http://{HOST}/{FILE}",
        f"https://{HOST}.evil.com/{FILE}",
        f"https://{HOST}@evil.com/{FILE}",
        f"https://user@{HOST}/{FILE}",
        f"https://{HOST}:443/{FILE}",
        f"https://{HOST}:444/{FILE}",
        f"https://{HOST}./{FILE}",
        f"https://SNS.EU-WEST-1.amazonaws.com/{FILE}",
        f"HTTPS://{HOST}/{FILE}",
        f"https://{HOST}/{FILE}?x",
        f"https://{HOST}/{FILE}#x",
        f"https://{HOST}/{FILE}\n",
        f"https://{HOST}/{FILE}\r\nHost: evil.com",
        f" https://{HOST}/{FILE}",
        f"\thttps://{HOST}/{FILE}",
        f"https://{HOST}//{FILE}",
        f"https://{HOST}/x/{FILE}",
        f"https://{HOST}\\{FILE}",
        f"https://{HOST}/../{FILE}",
        f"https://{HOST}/{FILE.upper()}",
        f"https://{HOST}/SimpleNotificationService-{'0a' * 15}.pem",
        f"https://{HOST}/SimpleNotificationService-{'0A' * 16}.pem",
        f"https://{HOST}/SimpleNotificationService-{'0g' * 16}.pem",
        f"https://{HOST}/SimpleNotificationService-{ARABIC_ZERO * 32}.pem",
        f"https://{HOST}/evil.pem",
        f"https://sns.s3-us-west-2.amazonaws.com/{FILE}",
        f"https://sns.us-east-1.amazonaws.com/{FILE}",
        f"https://sns.eu-west-1.amazonaws.com.cn/{FILE}",
        f"https://evil.com/{FILE}",
        f"file:///etc/{FILE}",
        f"http://169.254.169.254/{FILE}",
        f"http://127.0.0.1:9000/{FILE}",
    ],
)
def test_every_other_address_is_none(url):
    assert find_source(url, TOPIC, ()) is None


@pytest.mark.against("A9")
@pytest.mark.parametrize(
    "arn",
    [
        topic("s3-us-west-2"),
        topic("eu-west-1.evil.com"),
        topic("eu-west-1\n"),
        topic("eu-west-1", "aws-iso"),
        topic("eu-west-1", "aws-cn"),
        topic("cn-north-1"),
        TOPIC + "\n",
        TOPIC + ":x",
        "",
    ],
)
def test_an_odd_topic_has_no_host(arn):
    region = arn.split(":")[3] if ":" in arn else "eu-west-1"
    assert find_source(f"https://sns.{region}.amazonaws.com/{FILE}", arn, ()) is None


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("host", ["127.0.0.1:9000", "localhost:9000", "[::1]:9000"])
def test_a_listed_loopback_host_is_a_source(scheme, host):
    url = f"{scheme}://{host}/{FILE}"
    assert find_source(url, TOPIC, ("127.0.0.2:1", host)) == Source(url, host, loopback=True)
    assert find_source(url.replace("9000", "9001"), TOPIC, (host,)) is None
    assert find_source(url + "?x", TOPIC, (host,)) is None


@pytest.mark.against("A10")
def test_a_certificate_of_sns_is_believed_within_its_dates(sns):
    found = load(sns.pem, AWS, NOW.wall)
    assert isinstance(found, Certificate)
    assert found.is_valid(NOW.wall)
    assert not found.is_valid(NOW.wall + 31 * 86400)
    assert not found.is_valid(NOW.wall - 2 * 86400)


def reason(pem, source=AWS):
    found = load(pem, source, NOW.wall)
    assert isinstance(found, Unfit)
    return found.reason


@pytest.mark.against("A10")
def test_only_text_that_begins_as_pem_is_a_certificate(sns):
    assert "no PEM" in reason(b"")
    assert "no PEM" in reason(b"<Error><Message>" + sns.pem + b"</Message></Error>")
    assert "no PEM" in reason(b"\n" + sns.pem)
    assert "no PEM" in reason(sns.pem + b" " * 16 * 1024)
    assert "cannot be read" in reason(b"-----BEGIN CERTIFICATE-----\nAAAA\n")


@pytest.mark.against("A10")
def test_dates_name_and_key_must_fit(sns, other_key):
    assert "dates" in reason(make_pem(sns.key, ends=-0.5))
    assert "dates" in reason(make_pem(sns.key, begins=1))
    assert "made out" in reason(make_pem(sns.key, name="s3.amazonaws.com"))
    assert "made out" in reason(make_pem(sns.key, name="sns.us-east-1.amazonaws.com"))
    assert isinstance(load(make_pem(sns.key, name=HOST), AWS, NOW.wall), Certificate)
    assert "RSA" in reason(make_pem(ec.generate_private_key(ec.SECP256R1())))


def test_a_short_key_is_for_loopback_only():
    pem = make_pem(rsa.generate_private_key(public_exponent=65537, key_size=1024))
    assert "2048" in reason(pem)
    assert isinstance(load(pem, LOOPBACK, NOW.wall), Certificate)


def test_a_public_key_alone_is_no_certificate(sns):
    pem = sns.key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    assert "no PEM" in reason(pem)


@pytest.mark.against("A10")
@given(st.binary(max_size=200))
def test_random_bytes_are_no_certificate_and_never_raise(tail):
    assert isinstance(load(tail, AWS, NOW.wall), Unfit)
    assert isinstance(load(b"-----BEGIN CERTIFICATE-----\n" + tail, AWS, NOW.wall), Unfit)


@pytest.mark.against("A10")
def test_a_certificate_that_is_read_with_a_warning_only_is_refused(sns):
    serial = b"\xa0\x03\x02\x01\x02\x02"  # after the version; its length comes next
    der = bytearray(ssl.PEM_cert_to_DER_cert(sns.pem.decode()))
    der[der.index(serial) + len(serial) + 1] |= 0x80  # a negative number
    pem = ssl.DER_cert_to_PEM_cert(bytes(der)).encode()
    assert "cannot be read" in reason(pem)


@pytest.mark.against("A10")
@given(st.data())
def test_a_damaged_certificate_never_raises(sns, data):
    pem = bytearray(sns.pem)
    for _ in range(data.draw(st.integers(1, 4))):
        pem[data.draw(st.integers(28, len(pem) - 1))] = data.draw(st.integers(0, 255))
    assert isinstance(load(bytes(pem), AWS, NOW.wall), Certificate | Unfit)
