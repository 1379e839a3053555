"""The door to aiohttp: one POST, sent at most once, and how it ended."""

import ssl

import aiohttp
from yarl import URL

from services.sender.reply import Ending, NoReply, read_reply

CONNECT_S = 5.0
TOTAL_S = 20.0
IDLE_S = 4.0
"""A connection idle for longer is closed from here: one that the far end is just closing would
take a request and lose it, and nobody could say whether SES has the mail."""


class Post:
    """A pool of connections to SES: aiohttp repeats no POST, and no redirect is followed."""

    def __init__(self, tls: ssl.SSLContext, proxy: str | None, most: int) -> None:
        # The number of calls in the air is bounded elsewhere; a call must not wait here.
        connector = aiohttp.TCPConnector(
            ssl=tls, limit=most + 8, keepalive_timeout=IDLE_S, ttl_dns_cache=60
        )
        self._proxy, self._proxy_auth = _split(proxy)
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=TOTAL_S, sock_connect=CONNECT_S),
            auto_decompress=False,
            trust_env=False,
            headers={"User-Agent": "ses-sender"},
        )

    async def send(self, url: str, headers: dict[str, str], body: bytes) -> Ending:
        """Send a request; tell apart what surely did not leave from what SES may have."""
        try:
            async with self._session.post(
                url,
                data=body,
                headers=headers,
                allow_redirects=False,
                proxy=self._proxy,
                proxy_auth=self._proxy_auth,
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
            return NoReply(left=False, detail=_said(error))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return NoReply(left=True, detail=_said(error))

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()


def _split(proxy: str | None) -> tuple[URL | None, aiohttp.BasicAuth | None]:
    if proxy is None:
        return None, None
    url = URL(proxy if "://" in proxy else f"http://{proxy}")
    auth = aiohttp.BasicAuth(url.user, url.password or "") if url.user else None
    return url.with_user(None), auth


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
