"""What the example does that keeps accounts and an outbox in one database (extra ``recipes``)."""

import importlib.util
from collections.abc import AsyncIterator
from typing import Any

import pytest

from omeda_async.sandbox import Sandbox
from tests.core.web_load import EXAMPLES, applied

for _name in ("fastapi", "httpx", "sqlalchemy"):
    pytest.importorskip(_name, reason=f"{_name} is not installed: it comes with the extra recipes")


@pytest.fixture
async def app(database: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Any, Sandbox]]:
    """The example as it is, and the provider behind it."""
    async with Sandbox() as sandbox:
        for name, value in sandbox.settings_env().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("DATABASE_URL", database)
        spec = importlib.util.spec_from_file_location("outbox_in_transaction", EXAMPLES / "outbox_in_transaction.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        async with module.lifespan(module.app):
            yield module, sandbox


@pytest.mark.real_clock
async def test_an_account_is_closed_and_opted_out_or_neither(app: tuple[Any, Sandbox]) -> None:
    """What is refused leaves the account open; an account that there is not is none."""
    import httpx  # noqa: PLC0415 where it is installed

    module, sandbox = app
    tools = module.app.state.tools
    async with tools.sessions.begin() as session:
        session.add_all([module.Account(id=1, address="a1@example.com"), module.Account(id=2, address="nobody")])
    transport = httpx.ASGITransport(app=module.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://app") as browser:
        answers = [await browser.post(f"/accounts/{number}/close") for number in (1, 2, 3)]
    assert [answer.status_code for answer in answers] == [202, 422, 404]
    assert (await tools.outbox.outcome(answers[0].json()["ticket"], timeout=30)).status == "done"
    async with tools.sessions() as session:
        assert [(await session.get(module.Account, number)).closed for number in (1, 2)] == [True, False]
    assert applied(sandbox) == {"a1@example.com"}
