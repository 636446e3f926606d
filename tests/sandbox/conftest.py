"""A plain HTTP client of the sandbox: what a provider's own example would use."""

import json
from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import attrs
import pytest
from yarl import URL

from omeda_async.sandbox import Sandbox

CANCEL = "/webservices/rest/brand/FOO/omail/deployment/cancel/*"
TXN_CANCEL = "/workspaces/secure/api/v1/txn/cancel"


@attrs.frozen
class Reply:
    """An answer as it came over the socket."""

    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        """Read the body as JSON."""
        return json.loads(self.body)

    @property
    def errors(self) -> list[str]:
        """Return the texts of an Omeda error."""
        return [one["Error"] for one in self.json["Errors"]]


@attrs.define
class Api:
    """Requests with the sandbox's credentials, which each call may replace."""

    sandbox: Sandbox
    session: aiohttp.ClientSession

    async def call(self, method: str, path: str, **options: Any) -> Reply:
        """Send one request, redirects not followed."""
        options.setdefault("headers", self.credentials(path))
        url = URL(self.sandbox.url + path, encoded=True)
        async with self.session.request(method, url, allow_redirects=False, **options) as response:
            return Reply(response.status, response.headers, await response.read())

    async def post(self, path: str, body: Any = None, **options: Any) -> Reply:
        """Post JSON."""
        return await self.call("POST", path, json=body, **options)

    async def get(self, path: str, **options: Any) -> Reply:
        """Read."""
        return await self.call("GET", path, **options)

    async def cancel_campaign(self, campaign_id: str) -> Reply:
        """Cancel an Ocamba campaign."""
        return await self.post(f"/v1/hood/campaigns/{campaign_id}/cancel", {"reason": "a test"})

    async def cancel_deployment(self, track_id: str, user_id: str = "omailAccount1") -> Reply:
        """Cancel an Omeda deployment."""
        return await self.post(CANCEL, {"UserId": user_id, "TrackId": track_id})

    async def cancel_transaction(self, submit_key: str) -> Reply:
        """Cancel a Journey Manager transaction."""
        return await self.post(TXN_CANCEL, {"params": {"submitKey": submit_key}})

    def credentials(self, path: str) -> dict[str, str]:
        """Return the header that the provider behind a path wants."""
        if path.startswith("/webservices"):
            return {"x-omeda-appid": self.sandbox.app_id}
        if path.startswith("/workspaces"):
            user, password = self.sandbox.journey_manager_user, self.sandbox.journey_manager_password
            return {"Authorization": "Basic " + b64encode(f"{user}:{password}".encode()).decode()}
        return {"Authorization": f"Bearer {self.sandbox.ocamba_token}"}


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with Sandbox() as sandbox, aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield Api(sandbox, session)
