"""Our signatures are botocore's, header by header, whatever is signed and with what."""

from datetime import UTC, datetime

import botocore.auth
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials
from hypothesis import given
from hypothesis import strategies as st

from services.sender.signing import CONTENT_TYPE, STAMP, mould

WORDS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)
HOSTS = st.sampled_from(
    [
        "https://email.eu-west-1.amazonaws.com",
        "https://email-fips.us-east-1.amazonaws.com",
        "http://127.0.0.1:4579",
        "http://localhost:8000/base",
    ]
)


@given(
    body=st.binary(max_size=200),
    keys=st.builds(ReadOnlyCredentials, WORDS, WORDS, st.none() | WORDS, st.none()),
    place=st.tuples(st.sampled_from(["eu-west-1", "us-gov-east-1"]), st.just("ses")),
    host=HOSTS,
    at=st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1)),  # noqa: DTZ001 - UTC is added
)
def test_the_headers_are_botocores(body, keys, place, host, at):
    at = at.replace(tzinfo=UTC)
    url = f"{host}/v2/email/outbound-emails"
    request = AWSRequest("POST", url, {"Content-Type": CONTENT_TYPE}, body)
    signer = SigV4Auth(keys, place[1], place[0])
    former = botocore.auth.get_current_datetime
    botocore.auth.get_current_datetime = lambda: at
    try:
        signer.add_auth(request)
    finally:
        botocore.auth.get_current_datetime = former
    stamp = at.strftime(STAMP)
    ours = mould(url, keys, place, stamp[:8]).headers(stamp, body)
    assert ours == dict(request.headers.items())
