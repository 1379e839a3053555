"""Credentials, endpoint and signature are those of every boto3 client; no network."""

import asyncio
import json
from pathlib import Path

import pytest
from botocore.auth import SigV4Auth
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import (
    ConnectTimeoutError,
    CredentialRetrievalError,
    ReadTimeoutError,
    SSLError,
)
from botocore.session import Session
from botocore.stub import Stubber

from services.sender import plain, ses, side, signing
from services.sender.aws import Aws
from services.sender.bulk import bulk_body
from services.sender.outcome import judge_single
from services.sender.plain import call_once
from services.sender.render import Cut, Letterhead, single_body
from services.sender.reply import Entry, NoReply, Reply
from services.sender.ses import SignedPost
from shared import config
from shared.clock import Now
from shared.domain import RecipientId
from shared.protocol import Addressee, ConfirmTopic

HEAD = Letterhead("n@shop.example", "set-1", "https://m.example", "abc", b"s" * 32)
TO = (Addressee(RecipientId(7), "a@dest.example"), Addressee(RecipientId(8), "b@dest.example"))
NOW = Now(1.0, 1_700_000_000.0)


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    """Nothing of this machine's AWS or proxy settings."""
    import os

    for name in list(os.environ):
        if name.startswith("AWS_") or name.lower().endswith(("_proxy", "_ca_bundle")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return monkeypatch


def aws(**more):
    given = {
        "SERVER_URL": "https://m.example",
        "API_KEY": "k" * 32,
        "AWS_SES_FROM_EMAIL": "n@shop.example",
        "AWS_REGION": "eu-west-1",
        **more,
    }
    found = Aws(config.check(given))
    found.refresh()
    return found


KEYS = {"AWS_ACCESS_KEY_ID": "AKIDSETTING", "AWS_SECRET_ACCESS_KEY": "secret"}


def signature(found):
    endpoint = found.endpoint()
    return found.sign(endpoint, endpoint.url + "/v2/email/outbound-emails", b"{}")


def test_keys_of_the_settings_sign_for_ses_in_the_region_of_the_settings():
    headers = signature(aws(**KEYS))
    assert "Credential=AKIDSETTING/" in headers["Authorization"]
    assert "/eu-west-1/ses/aws4_request" in headers["Authorization"]
    assert headers["Content-Type"] == "application/json"
    assert "X-Amz-Security-Token" not in headers


def test_a_session_token_of_the_environment_goes_with_its_own_keys_only(environment):
    environment.setenv("AWS_ACCESS_KEY_ID", "AKIDSETTING")
    environment.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    environment.setenv("AWS_SESSION_TOKEN", "token")
    assert signature(aws(**KEYS))["X-Amz-Security-Token"] == "token"
    environment.setenv("AWS_ACCESS_KEY_ID", "AKIDOTHER")
    headers = signature(aws(**KEYS))
    assert "X-Amz-Security-Token" not in headers
    assert "AKIDSETTING" in headers["Authorization"]


def test_without_keys_the_credential_chain_is_asked(environment, tmp_path):
    (tmp_path / "credentials").write_text(
        "[news]\naws_access_key_id=AKIDPROFILE\naws_secret_access_key=s\n"
    )
    environment.setenv("AWS_PROFILE", "news")
    assert "AKIDPROFILE" in signature(aws())["Authorization"]


def count_botocores(environment) -> list[str]:
    """Answer a list that grows by a URL with each signature of botocore's own."""
    signed = []
    usual = SigV4Auth.add_auth

    def add_auth(self, request):
        signed.append(request.url)
        usual(self, request)

    environment.setattr(SigV4Auth, "add_auth", add_auth)
    return signed


def test_botocore_signs_the_first_call_of_each_path_and_the_others_are_the_same(environment):
    signed = count_botocores(environment)
    found = aws(**KEYS)
    endpoint = found.endpoint()
    for path in ("/one", "/two", "/one", "/two", "/one"):
        url = endpoint.url + path
        headers = found.sign(endpoint, url, b"{}")
        slowly = found._sign_slowly(found._frozen, endpoint, url, b"{}")
        if headers["X-Amz-Date"] == slowly["X-Amz-Date"]:
            assert headers == slowly
    assert len(signed) - 5 == 2, "five were ours to compare"


def test_another_day_and_other_credentials_are_signed_by_botocore_first(environment):
    signed = count_botocores(environment)
    expiring = Expiring()
    endpoint = aws(**KEYS).endpoint()
    url = endpoint.url + "/v2/email/outbound-emails"
    environment.setattr(Session, "get_credentials", lambda _self: expiring)
    found = aws()

    def sign():
        return found.sign(endpoint, url, b"")["Authorization"].partition("/")[0]

    assert [sign(), sign()] == ["AWS4-HMAC-SHA256 Credential=AKID0"] * 2
    assert len(signed) == 1
    expiring.expire()
    found.refresh()
    assert [sign(), sign()] == ["AWS4-HMAC-SHA256 Credential=AKID1"] * 2
    assert len(signed) == 2
    keys, mould = found._moulds[url]
    found._moulds[url] = (keys, mould._replace(day="20200101"))
    sign()
    assert len(signed) == 3


def test_where_ours_would_be_another_botocore_signs_all(environment):
    signed = count_botocores(environment)
    environment.setattr(signing, "mould", lambda *_all: Other())
    found = aws(**KEYS)
    endpoint = found.endpoint()
    url = endpoint.url + "/v2/email/outbound-emails"
    assert found.sign(endpoint, url, b"") != {"Authorization": "other"}
    found.sign(endpoint, url, b"")
    assert len(signed) == 2


class Other:
    """What comes to other headers."""

    day = ""

    def headers(self, _stamp, _body):
        return {"Authorization": "other"}


def test_without_any_credentials_nothing_is_signed_and_the_reason_is_said():
    found = aws()
    assert signature(found) is None
    assert found.wants_refresh()
    assert "no AWS credentials" in found.trouble


def test_static_keys_need_no_refresh():
    assert not aws(**KEYS).wants_refresh()


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"AWS_ENDPOINT_URL": "http://127.0.0.1:9999"},
        {"AWS_ENDPOINT_URL_SESV2": "http://127.0.0.1:9998/base", "AWS_ENDPOINT_URL": "http://x:1"},
        {"AWS_USE_FIPS_ENDPOINT": "true"},
        {"AWS_USE_DUALSTACK_ENDPOINT": "true"},
    ],
)
def test_the_endpoint_is_the_one_a_client_would_use(environment, variables):
    for name, value in variables.items():
        environment.setenv(name, value)
    client = Session().create_client("sesv2", region_name="eu-west-1")
    assert aws(**KEYS).endpoint().url == client.meta.endpoint_url


def test_the_proxy_of_the_environment_is_used(environment):
    environment.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    assert aws(**KEYS).endpoint().proxy == "http://proxy.example:3128"
    environment.setenv("NO_PROXY", "amazonaws.com")
    assert aws(**KEYS).endpoint().proxy is None


def test_a_ca_bundle_replaces_the_usual_one(environment, tmp_path):
    from botocore.httpsession import get_cert_path

    usual = aws(**KEYS).tls().cert_store_stats()["x509_ca"]
    first = Path(get_cert_path(True)).read_text().split("-----END CERTIFICATE-----")[0]
    bundle = tmp_path / "one.pem"
    bundle.write_text(first[first.index("-----BEGIN") :] + "-----END CERTIFICATE-----\n")
    environment.setenv("AWS_CA_BUNDLE", str(bundle))
    assert usual > 1
    assert aws(**KEYS).tls().cert_store_stats()["x509_ca"] == 1


def test_a_plain_client_calls_once_and_not_for_long():
    settings = aws(**KEYS).client("sesv2").meta.config
    assert settings.retries["total_max_attempts"] == 1
    assert (settings.connect_timeout, settings.read_timeout) == (5, 20)


@pytest.fixture
def stubbed():
    client = aws(**KEYS).client("sesv2")
    with Stubber(client) as stub:
        yield client, stub


def test_our_bodies_are_valid_calls_in_the_model_of_ses(stubbed):
    client, stub = stubbed
    single = json.loads(single_body(HEAD, Cut("s", "h"), TO[0], (("List-Id", "x"),)))
    bulk = json.loads(bulk_body(HEAD, Cut("s", "h"), TO, (("List-Id", "x"),)))
    stub.add_response("send_email", {"MessageId": "m1"}, single)
    results = [{"Status": "SUCCESS", "MessageId": "m2"}, {"Status": "FAILED", "Error": "no"}]
    stub.add_response("send_bulk_email", {"BulkEmailEntryResults": results}, bulk)
    assert call_once(client.send_email, single) == Reply(200, message_id="m1")
    assert call_once(client.send_bulk_email, bulk).entries == (
        Entry("SUCCESS", "", "m2"),
        Entry("FAILED", "no"),
    )


def test_a_refusal_through_the_plain_client_reads_as_over_http(stubbed):
    client, stub = stubbed
    stub.add_client_error("send_email", "MessageRejected", "Bad content.", 400)
    stub.add_client_error("send_email", "503", "", 503)
    call = json.loads(single_body(HEAD, Cut("s", "h"), TO[0], ()))
    assert call_once(client.send_email, call) == Reply(400, "MessageRejected", "Bad content.")
    assert call_once(client.send_email, call) == Reply(503, "", "")


@pytest.mark.parametrize(
    ("error", "left"),
    [
        (ConnectTimeoutError(endpoint_url="x"), False),
        (plain.EndpointConnectionError(endpoint_url="x", error="refused"), False),
        (SSLError(endpoint_url="x", error="certificate verify failed: self-signed"), False),
        (SSLError(endpoint_url="x", error="unexpected eof"), True),
        (ReadTimeoutError(endpoint_url="x"), True),
    ],
)
def test_the_plain_client_tells_what_surely_did_not_leave(error, left):
    def operation():
        raise error

    ending = call_once(operation, {})
    assert isinstance(ending, NoReply)
    assert ending.left is left


def test_the_plain_client_without_credentials_is_the_accounts_trouble():
    def operation():
        raise plain.NoCredentialsError

    assert call_once(operation, {}).code == "MissingAuthenticationToken"


class OneClient:
    """Stands for Aws: answers the one client that was stubbed."""

    def __init__(self, client):
        self.regions = []
        self._client = client

    def client(self, _service, region=None):
        self.regions.append(region)
        return self._client


def test_the_account_is_read(stubbed):
    client, stub = stubbed
    stub.add_response(
        "get_account",
        {
            "SendQuota": {"Max24HourSend": 50000.0, "MaxSendRate": 14.0, "SentLast24Hours": 7.0},
            "SendingEnabled": True,
            "ProductionAccessEnabled": False,
            "EnforcementStatus": "HEALTHY",
        },
    )
    found = side.read_account(client, "sender-0", NOW)
    assert (found.max_rate, found.quota, found.sent_24h) == (14.0, 50000.0, 7.0)
    assert (found.sandbox, found.sending_enabled, found.enforcement) == (True, True, "HEALTHY")
    assert found.error == ""


def test_an_account_without_a_daily_quota_and_one_that_may_not_be_read(stubbed):
    client, stub = stubbed
    stub.add_response("get_account", {"SendQuota": {"Max24HourSend": -1.0, "MaxSendRate": 1.0}})
    stub.add_client_error("get_account", "AccessDeniedException", "no")
    assert side.read_account(client, "sender-0", NOW).quota is None
    found = side.read_account(client, "sender-0", NOW)
    assert "AccessDeniedException" in found.error
    assert found.max_rate is None


def test_a_subscription_is_confirmed_in_the_region_of_its_topic():
    client = aws(**KEYS).client("sns")
    message = ConfirmTopic("p1", "arn:aws:sns:us-west-2:111122223333:t", "tok")
    asked = {
        "TopicArn": message.topic_arn,
        "Token": "tok",
        "AuthenticateOnUnsubscribe": "true",
    }
    one = OneClient(client)
    with Stubber(client) as stub:
        stub.add_response("confirm_subscription", {"SubscriptionArn": "x"}, asked)
        assert side.confirm(one, message).error == ""
        stub.add_client_error("confirm_subscription", "InvalidParameter", "Invalid token")
        assert "Invalid token" in side.confirm(one, message).error
    assert one.regions == ["us-west-2"] * 2


class Expiring:
    """Credentials that are about to expire until they are refreshed."""

    def __init__(self):
        self.refreshed = 0
        self._needed = False

    def refresh_needed(self):
        return self._needed

    def expire(self):
        self._needed = True

    def get_frozen_credentials(self):
        self.refreshed += self._needed
        self._needed = False
        return ReadOnlyCredentials(f"AKID{self.refreshed}", "secret", None)


class FakePost:
    """Keeps the headers of what is sent."""

    def __init__(self):
        self.keys = []

    async def send(self, _url, headers, _body):
        self.keys.append(headers["Authorization"].split("Credential=")[1].split("/")[0])
        return Reply(200, message_id="m")

    async def close(self):
        pass


def test_credentials_are_refreshed_beside_the_calls_that_use_the_old_ones(environment):
    expiring = Expiring()
    endpoint = aws(**KEYS).endpoint()
    environment.setattr(Session, "get_credentials", lambda _self: expiring)
    environment.setattr(ses, "REFRESH_PAUSE_S", 0.0)
    found = aws()

    async def play():
        post = FakePost()
        way = SignedPost(found, endpoint, post)
        expiring.expire()
        await way.send(b"{}", is_bulk=False)
        while not expiring.refreshed:
            await asyncio.sleep(0)
        await asyncio.sleep(0.01)
        await way.send(b"{}", is_bulk=True)
        await way.close()
        return post.keys

    assert asyncio.run(play()) == ["AKID0", "AKID1"]


def test_without_credentials_a_call_ends_as_trouble_of_the_account():
    found = aws()
    endpoint = found.endpoint()

    async def play():
        way = SignedPost(found, endpoint, FakePost())
        ending = await way.send(b"{}", is_bulk=False)
        await way.close()
        return ending

    ending = asyncio.run(play())
    assert ending == Reply(403, "MissingAuthenticationToken", "no AWS credentials were found")
    assert judge_single(ending, "n@shop.example").code == "credentials"


def test_credentials_that_cannot_be_read_are_named(environment):
    def refuse(_self):
        raise CredentialRetrievalError(provider="process", error_msg="exit 1")

    environment.setattr(Session, "get_credentials", refuse)
    assert "exit 1" in aws().trouble


def test_a_folder_of_certificates_is_a_ca_bundle_too(environment, tmp_path):
    environment.setenv("AWS_CA_BUNDLE", str(tmp_path))
    assert aws(**KEYS).tls().cert_store_stats()["x509_ca"] == 0


def test_side_calls_run_on_their_thread_and_answer_the_loop(stubbed):
    client, stub = stubbed
    stub.add_response("get_account", {"SendQuota": {"MaxSendRate": 14.0}})

    async def play():
        thread = side.SideThread(OneClient(client), "sender-0", side.AccountWatch(None))
        found = await thread.account(NOW)
        thread.close()
        return found

    assert asyncio.run(play()).max_rate == 14.0
