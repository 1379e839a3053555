"""moto's server as a second, independent SES for the single lane."""

import boto3
import pytest
from moto.server import ThreadedMotoServer

from tests.system.stack import until


@pytest.fixture
def moto():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def test_the_single_lane_sends_through_moto_at_the_settings_rate(make_stack, moto):
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "y", "region_name": "eu-west-1"}
    boto3.client("sesv2", endpoint_url=moto, **keys).create_email_identity(
        EmailIdentity="news@example.com"
    )
    stack = make_stack(
        simulator=False,
        AWS_ENDPOINT_URL_SESV2=moto,
        AWS_ENDPOINT_URL_SNS=moto,
        MAX_SEND_PER_SECOND="50",
        SES_SEND_API="single",
    ).start()
    stack.post([f"u{n}@example.com" for n in range(30)], content="<p>moto</p>")
    stack.wait_counts({"Sent": 30})
    ready = until("GetAccount was asked", lambda: (r := stack.ready()) and r["degraded"] and r)
    assert any("GetAccount" in sentence for sentence in ready["degraded"]), ready["degraded"]
    sent = boto3.client("ses", endpoint_url=moto, **keys).get_send_quota()["SentLast24Hours"]
    assert sent == 30
