"""Signatures from both sides: SNS's, which the simulator makes, and SigV4, which it checks."""

import datetime

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography import x509

from services.simulator import sign, sigv4

NOTICE = {
    "Type": "Notification",
    "MessageId": "i",
    "TopicArn": "t",
    "Message": "안\n",
    "Timestamp": "now",
    "SignatureVersion": "1",
}


def test_the_text_to_sign_is_ordered_and_leaves_out_what_is_absent():
    assert sign.text_to_sign(NOTICE).decode() == (
        "Message\n안\n\nMessageId\ni\nTimestamp\nnow\nTopicArn\nt\nType\nNotification\n"
    )
    assert b"Subject\ns\n" in sign.text_to_sign({**NOTICE, "Subject": "s"})
    asked = {**NOTICE, "Type": "SubscriptionConfirmation", "Token": "k", "SubscribeURL": "u"}
    assert sign.text_to_sign(asked).decode().startswith("Message\n안\n\nMessageId\ni\nSubscribeURL")


def test_the_certificate_is_named_as_snss_and_its_path_changes_with_it():
    now = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    key = sign.make_key(1024)
    pem = sign.certificate_of(sign.key_from_pem(sign.key_to_pem(key)), now)
    found = x509.load_pem_x509_certificate(pem)
    assert found.subject.rfc4514_string() == "CN=sns.amazonaws.com"
    assert found.not_valid_before_utc < now < found.not_valid_after_utc
    assert sign.certificate_path(pem) != sign.certificate_path(sign.certificate_of(key, now))


def signed(method="POST", path="/v2/email/x", body=b"{}", service="ses", query=""):
    url = f"http://127.0.0.1:1{path}{query}"
    request = AWSRequest(method, url, headers={"Content-Type": "a  b"}, data=body)
    SigV4Auth(Credentials("k", "secret"), service, "eu-west-1").add_auth(request)
    headers = {name.lower(): value for name, value in request.headers.items()}
    return (method, path + query), {**headers, "host": "127.0.0.1:1"}, body


@pytest.mark.parametrize(
    "call",
    [
        {},
        {"service": "sns", "path": "/"},
        {"method": "GET", "body": b"", "query": "?Reason=B&Reason=A&x=%20%2B"},
        {"path": "/v2/email/suppression/addresses/a%2Bb%40c.d"},
    ],
)
def test_botocores_signatures_are_right(call):
    line, headers, body = signed(**call)
    assert sigv4.problem_of("secret", line, headers, body) is None
    assert sigv4.problem_of("other", line, headers, body)
    assert sigv4.problem_of("secret", line, headers, body + b" ")
    assert sigv4.problem_of("secret", (line[0], line[1] + "x"), headers, body)
    assert sigv4.problem_of("secret", line, {**headers, "host": "elsewhere"}, body)


def test_what_is_no_signature_is_named():
    assert "not a Signature Version 4" in str(sigv4.problem_of("s", ("GET", "/"), {}, b""))
    line, headers, body = signed(service="s3")
    assert "valid service" in str(sigv4.problem_of("secret", line, headers, body))
