"""The signing key, its self-signed certificate, and SNS's two signature versions."""

import base64
import datetime
import hashlib
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

_EXPONENT: Final = 65537
_DAYS: Final = 30
_NOTIFICATION: Final = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
_CONFIRMATION: Final = (
    "Message",
    "MessageId",
    "SubscribeURL",
    "Timestamp",
    "Token",
    "TopicArn",
    "Type",
)


def make_key(bits: int) -> rsa.RSAPrivateKey:
    """Make a signing key, new at every start."""
    return rsa.generate_private_key(public_exponent=_EXPONENT, key_size=bits)


def certificate_of(key: rsa.RSAPrivateKey, now: datetime.datetime) -> bytes:
    """Make the key's own certificate, named as SNS's is."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=_DAYS))
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM)


def certificate_path(pem: bytes) -> str:
    """Name the certificate's path as SNS does; another certificate has another path."""
    return f"/SimpleNotificationService-{hashlib.blake2b(pem, digest_size=16).hexdigest()}.pem"


def key_to_pem(key: rsa.RSAPrivateKey) -> bytes:
    """Pack the key for the courier."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def key_from_pem(pem: bytes) -> rsa.RSAPrivateKey:
    """Unpack the key at the courier."""
    key = serialization.load_pem_private_key(pem, None)
    if not isinstance(key, rsa.RSAPrivateKey):
        msg = "the signing key must be RSA"
        raise TypeError(msg)
    return key


def text_to_sign(envelope: dict[str, str]) -> bytes:
    """Give the string SNS signs: each signed key that is present, and its value, a line each."""
    keys = _NOTIFICATION if envelope["Type"] == "Notification" else _CONFIRMATION
    return "".join(f"{key}\n{envelope[key]}\n" for key in keys if key in envelope).encode()


def sign(key: rsa.RSAPrivateKey, envelope: dict[str, str]) -> str:
    """Sign an envelope by its SignatureVersion: 1 is SHA-1, 2 is SHA-256."""
    digest: hashes.HashAlgorithm = hashes.SHA256()
    if envelope["SignatureVersion"] == "1":
        digest = hashes.SHA1()  # noqa: S303 - version 1 of SNS is SHA-1, and it is the default
    signature = key.sign(text_to_sign(envelope), padding.PKCS1v15(), digest)
    return base64.b64encode(signature).decode()
