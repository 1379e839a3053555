"""The door to botocore: credentials, endpoint, signatures and plain clients, as boto3 has them.

A boto3 client is a botocore client; going without the package boto3 saves 2 MB a process. All of
botocore's ways to be configured keep working: environment, profiles, roles, credential processes,
`AWS_ENDPOINT_URL_SESV2`, proxies, CA bundles.
"""

import os
import ssl
import time
from pathlib import Path
from typing import Any, NamedTuple

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import EnvProvider, ReadOnlyCredentials
from botocore.exceptions import BotoCoreError
from botocore.httpsession import get_cert_path
from botocore.session import Session
from botocore.utils import get_environ_proxies

from services.sender import signing
from shared import clock
from shared.config import Settings

CONNECT_S = 5
READ_S = 20


class Endpoint(NamedTuple):
    """Where SES v2 is and how to get there."""

    url: str
    region: str
    signing_name: str
    proxy: str | None


class Aws:
    """One process's view of AWS; methods that say so may take seconds and belong on a thread."""

    def __init__(self, settings: Settings) -> None:
        self._session = Session()
        self._session.set_config_variable("region", settings.aws_region)
        self._use_keys(settings)
        self._credentials: Any = None
        self._frozen: ReadOnlyCredentials | None = None
        self._moulds: dict[str, tuple[ReadOnlyCredentials, signing.Mould]] = {}
        self.trouble = ""

    def _use_keys(self, settings: Settings) -> None:
        if not settings.aws_access_key_id:
            return
        # Keys may come from .env, which botocore does not read; a session token only ever comes
        # from the environment, together with its keys.
        found = EnvProvider().load()
        same = found is not None and found.access_key == settings.aws_access_key_id
        token = found.token if found is not None and same else None
        self._session.set_credentials(
            settings.aws_access_key_id, settings.aws_secret_access_key, token
        )

    def refresh(self) -> None:
        """Find credentials, or fresh ones (may take seconds)."""
        try:
            self._credentials = self._session.get_credentials()
            self._frozen = self._credentials and self._credentials.get_frozen_credentials()
            self.trouble = "" if self._frozen else "no AWS credentials were found"
        except BotoCoreError as error:
            self.trouble = f"AWS credentials could not be read: {error}"

    def wants_refresh(self) -> bool:
        """Tell whether credentials are missing or about to expire."""
        if self._frozen is None:
            return True
        needed = getattr(self._credentials, "refresh_needed", None)
        return bool(needed and needed())

    def endpoint(self) -> Endpoint:
        """Answer where SES v2 is, as a client would find it (may take seconds)."""
        client = self.client("sesv2")
        url = client.meta.endpoint_url
        proxies = get_environ_proxies(url)
        model = client.meta.service_model
        return Endpoint(
            url=url.rstrip("/"),
            region=client.meta.region_name,
            signing_name=model.signing_name,
            proxy=proxies.get(url.partition(":")[0]) or proxies.get("all"),
        )

    def sign(self, endpoint: Endpoint, url: str, body: bytes) -> dict[str, str] | None:
        """Answer the headers of a signed POST; None without credentials."""
        keys = self._frozen
        if keys is None:
            return None
        stamp = time.strftime(signing.STAMP, time.gmtime(clock.read().wall))
        made_with, mould = self._moulds.get(url, (None, None))
        if mould is not None and made_with is keys and mould.day == stamp[:8]:
            return mould.headers(stamp, body)
        headers = self._sign_slowly(keys, endpoint, url, body)
        stamp = headers["X-Amz-Date"]
        mould = signing.mould(url, keys, (endpoint.region, endpoint.signing_name), stamp[:8])
        if mould.headers(stamp, body) == headers:
            self._moulds[url] = (keys, mould)
        return headers

    def _sign_slowly(
        self, keys: ReadOnlyCredentials, endpoint: Endpoint, url: str, body: bytes
    ) -> dict[str, str]:
        """Sign as a client does."""
        request = AWSRequest("POST", url, {"Content-Type": signing.CONTENT_TYPE}, body)
        SigV4Auth(keys, endpoint.signing_name, endpoint.region).add_auth(request)
        return dict(request.headers.items())

    def tls(self) -> ssl.SSLContext:
        """Make the TLS context, with the CA bundle that botocore would use."""
        bundle = self._session.get_config_variable("ca_bundle")
        bundle = bundle or os.environ.get("REQUESTS_CA_BUNDLE")  # noqa: TID251 - botocore reads it
        path = Path(bundle or str(get_cert_path(verify=True)))
        if path.is_dir():
            return ssl.create_default_context(capath=path)
        return ssl.create_default_context(cafile=path)

    def client(self, service: str, region: str | None = None, *, pool: int = 1) -> Any:
        """Make a plain client that calls once and never again by itself (may take seconds)."""
        config = Config(
            retries={"total_max_attempts": 1},
            connect_timeout=CONNECT_S,
            read_timeout=READ_S,
            max_pool_connections=pool,
        )
        return self._session.create_client(service, region_name=region, config=config)
