"""Whom we believe: a post is examined for all that needs no certificate yet."""

from typing import NamedTuple

from services.results import refusal, signature
from services.results.certificate import Certificate, Source, find_source
from services.results.post import Envelope
from services.results.refusal import Refusal
from services.results.signature import Signature


class Sealed(NamedTuple):
    """A post whose signature can be checked with the certificate of `source`."""

    envelope: Envelope
    signature: Signature
    source: Source

    def is_genuine(self, certificate: Certificate) -> bool:
        """Tell whether the certificate's key made the signature over this very post."""
        text = signature.signed_text(self.envelope)
        return certificate.signed(text, self.signature.octets, self.signature.digest)


class Trust(NamedTuple):
    """The settings that say whose posts are believed."""

    topics: frozenset[str] = frozenset()
    cert_hosts: tuple[str, ...] = ()

    def examine(self, envelope: Envelope) -> Sealed | Refusal:
        """Refuse what can be refused without a certificate; nothing is fetched for a stranger.

        Without a listed topic every topic of SNS is examined, so that the genuine one can be named.
        """
        if self.topics and not self.lists(envelope):
            return refusal.FOREIGN_TOPIC
        signed = signature.read(envelope)
        if signed is None:
            return refusal.NO_SIGNATURE
        url = envelope.signing_cert_url or ""
        source = find_source(url, envelope.topic_arn, self.cert_hosts)
        if source is None:
            return refusal.CERTIFICATE_URL
        return Sealed(envelope, signed, source)

    def lists(self, envelope: Envelope) -> bool:
        """Tell whether the post's topic is listed, letter for letter."""
        return envelope.topic_arn in self.topics
