"""The door to aiohttp: calls that go through a proxy; one POST, sent at most once."""

import ssl

import aiohttp
from yarl import URL

from services.sender.connection import TOTAL_S
from services.sender.http import CONNECT_S, IDLE_S, said
from services.sender.reply import Ending, NoReply, read_reply


class ProxiedPost:
    """A pool of connections through a proxy: aiohttp repeats no POST, and follows no redirect."""

    def __init__(self, url: str, tls: ssl.SSLContext, proxy: str, most: int) -> None:
        self._url = url
        # The number of calls in the air is bounded elsewhere; a call must not wait here.
        connector = aiohttp.TCPConnector(
            ssl=tls, limit=most + 8, keepalive_timeout=IDLE_S, ttl_dns_cache=60
        )
        self._proxy, self._proxy_headers = _split(proxy)
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=TOTAL_S, sock_connect=CONNECT_S),
            auto_decompress=False,
            trust_env=False,
            headers={"User-Agent": "ses-sender"},
        )

    async def send(self, path: str, headers: dict[str, str], body: bytes) -> Ending:
        """Send a request; tell apart what surely did not leave from what SES may have."""
        try:
            async with self._session.post(
                self._url + path,
                data=body,
                headers=headers,
                allow_redirects=False,
                proxy=self._proxy,
                proxy_headers=self._proxy_headers,
            ) as answer:
                error_type = answer.headers.get("x-amzn-errortype", "")
                return read_reply(answer.status, error_type, await answer.read())
        except (
            aiohttp.ClientConnectorError,
            aiohttp.ClientConnectorCertificateError,
            aiohttp.ClientHttpProxyError,
            aiohttp.ConnectionTimeoutError,
            aiohttp.InvalidURL,
        ) as error:
            return NoReply(left=False, detail=said(error))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return NoReply(left=True, detail=said(error))

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()


def _split(proxy: str) -> tuple[URL, dict[str, str]]:
    """Answer where the proxy is, and what it asks to be shown (aiohttp names the header itself)."""
    url = URL(proxy if "://" in proxy else f"http://{proxy}")
    if not url.user:
        return url, {}
    shown = aiohttp.encode_basic_auth(url.user, url.password or "")
    return url.with_user(None), {"Authorization": shown}
