"""Certificates of SNS: where one may come from, when it is believed, whether it signed a text.

The door to cryptography.
"""

import enum
import functools
import re
import warnings
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import NameOID

LARGEST = 16 * 1024
"""Bytes; the certificates of SNS have about 2 KB."""

_FILE = re.compile(r"SimpleNotificationService-[0-9a-f]{32}\.pem")
_TOPIC = re.compile(
    r"arn:(aws|aws-cn|aws-us-gov):sns:([a-z]{2}(?:-[a-z]+){1,2}-[0-9]):[0-9]{12}:[A-Za-z0-9_-]{1,256}"
)
_DOMAINS = {"aws": "amazonaws.com", "aws-us-gov": "amazonaws.com", "aws-cn": "amazonaws.com.cn"}
_NAME = "sns.amazonaws.com"
_LEAST_BITS = 2048
_LEAST_LOOPBACK_BITS = 1024
_MOST_BITS = 8192


class Digest(enum.Enum):
    """What a text is condensed with before RSA signs it."""

    SHA1 = hashes.SHA1()  # noqa: S303 - what version 1 of SNS's signatures uses, its default
    SHA256 = hashes.SHA256()


class Source(NamedTuple):
    """An address that may serve a certificate; loopback: listed in SNS_CERT_HOSTS."""

    url: str
    host: str
    loopback: bool


class Fetched(NamedTuple):
    """What an address served, or the error it ended with."""

    url: str
    pem: bytes
    error: str = ""


class Unfit(NamedTuple):
    """Why there is no certificate to check with."""

    reason: str


class Certificate(NamedTuple):
    """A certificate to check with, from `begins` to `ends` (Unix seconds)."""

    key: rsa.RSAPublicKey
    begins: float
    ends: float

    def is_valid(self, wall: float) -> bool:
        """Tell whether it may be used at this time."""
        return self.begins <= wall <= self.ends

    def signed(self, text: bytes, signature: bytes, digest: Digest) -> bool:
        """Tell whether this text was signed with this certificate's key (RSA, PKCS#1 v1.5)."""
        try:
            self.key.verify(signature, text, _PADDING, digest.value)
        except InvalidSignature:
            return False
        return True


_PADDING = padding.PKCS1v15()
_UNREADABLE = (ValueError, TypeError, x509.InvalidVersion, UnsupportedAlgorithm)


def find_source(url: str, topic_arn: str, cert_hosts: tuple[str, ...]) -> Source | None:
    """Answer the source a URL names, or None for a URL where SNS never keeps this topic's.

    Whole strings are compared, nothing is parsed: there is no port, user, query, case or trailing
    character to get wrong.
    """
    origin, _, file = url.rpartition("/")
    if not _FILE.fullmatch(file):
        return None
    host = _aws_host(topic_arn)
    if host and origin == f"https://{host}":
        return Source(url, host, loopback=False)
    for host in cert_hosts:
        if origin in {f"http://{host}", f"https://{host}"}:
            return Source(url, host, loopback=True)
    return None


@functools.lru_cache(maxsize=64)
def _aws_host(topic_arn: str) -> str | None:
    """Name the one host that keeps the certificates of this topic's region."""
    found = _TOPIC.fullmatch(topic_arn)
    if not found:
        return None
    partition, region = found.groups()
    if region.startswith("cn-") != (partition == "aws-cn"):
        return None
    return f"sns.{region}.{_DOMAINS[partition]}"


def load(pem: bytes, source: Source, wall: float) -> Certificate | Unfit:
    """Read what a source served and check all that makes it a certificate of SNS.

    cryptography reads a PEM from the middle of any other text, so the beginning is checked here.
    """
    if len(pem) > LARGEST or not pem.startswith(b"-----BEGIN CERTIFICATE-----"):
        return Unfit("what was served is no PEM certificate")
    try:
        with warnings.catch_warnings():
            # What is read with a warning breaks a rule of RFC 5280: it is none of SNS's.
            warnings.simplefilter("error", CryptographyDeprecationWarning)
            parsed = x509.load_pem_x509_certificate(pem)
            key = parsed.public_key()
            names = parsed.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except (*_UNREADABLE, CryptographyDeprecationWarning):
        return Unfit("the certificate cannot be read")
    least = _LEAST_LOOPBACK_BITS if source.loopback else _LEAST_BITS
    if not isinstance(key, rsa.RSAPublicKey) or not least <= key.key_size <= _MOST_BITS:
        return Unfit(f"the certificate has no RSA key of {least} to {_MOST_BITS} bits")
    # The host itself is pinned and proven by TLS: its own name is as good as the common one.
    if [name.value for name in names] not in ([_NAME], [source.host]):
        return Unfit(f"the certificate is not made out to {_NAME}")
    begins = parsed.not_valid_before_utc.timestamp()
    certificate = Certificate(key, begins, parsed.not_valid_after_utc.timestamp())
    if not certificate.is_valid(wall):
        return Unfit("the certificate is outside its dates; is this machine's clock right?")
    return certificate
