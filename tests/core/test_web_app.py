"""What the example web app answers, one request at a time, where its libraries are installed (extra ``recipes``)."""

import asyncio
import importlib.util
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from omeda_async import ConfigurationError, _clock
from omeda_async.sandbox import Fault, Sandbox
from tests.core.web_load import EXAMPLES, applied

pytest.importorskip("fastapi", reason="fastapi is not installed: it comes with the extra recipes")
httpx: Any = pytest.importorskip("httpx", reason="httpx is not installed: it comes with the extra recipes")

PATHS = ("/unsubscribe", "/outbox")


@attrs.define
class Scene:
    """The app, somebody who calls it, and the provider behind it."""

    app: Any
    browser: Any
    sandbox: Sandbox

    async def unsubscribe(self, number: int, path: str = "/unsubscribe") -> Any:
        """Be one of its readers."""
        return await self.browser.post(path, json={"key": f"k{number}", "address": f"a{number}@example.com"})


def _example() -> Any:
    spec = importlib.util.spec_from_file_location("web_app", EXAMPLES / "web_app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
async def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    """One worker that has started."""
    async with Sandbox(latency=0.05) as sandbox:
        for name, value in sandbox.settings_env().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("OUTBOX", str(tmp_path / "opt-outs.sqlite3"))
        module = _example()
        transport = httpx.ASGITransport(app=module.app, raise_app_exceptions=False)
        async with (
            module.lifespan(module.app),
            httpx.AsyncClient(transport=transport, base_url="http://app") as browser,
        ):
            yield Scene(module.app, browser, sandbox)


@pytest.mark.parametrize(
    ("gone", "told"),
    [
        ("OMEDA_", "Omeda is not configured: .*set OMEDA_APP_ID"),
        ("OCAMBA_", "Ocamba is not configured: .*set OCAMBA_TOKEN"),
    ],
)
async def test_an_app_without_its_settings_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gone: str, told: str
) -> None:
    """Whoever starts it reads which are missing, in the library's words, and no reader meets a 503."""
    async with Sandbox() as sandbox:
        for name, value in sandbox.settings_env().items():
            if not name.startswith(gone):
                monkeypatch.setenv(name, value)
        monkeypatch.setenv("OUTBOX", str(tmp_path / "opt-outs.sqlite3"))
        module = _example()
        with pytest.raises(ConfigurationError, match=told):
            async with module.lifespan(module.app):
                pytest.fail("it has started")


async def test_why_a_reader_was_sent_away_is_logged(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    """And no address with it."""
    scene.sandbox.fault(Fault("503", times=None, retry_after=None))
    reply = await scene.browser.post("/campaigns/1/cancel", params={"reason": "x"})
    assert reply.status_code == 503
    (line,) = (one.getMessage() for one in caplog.records if one.name == "unsubscribe")
    assert line.startswith("503: ")


async def test_an_opt_out_is_answered_when_it_is_done(scene: Scene) -> None:
    """And what is wrong with it is said."""
    answer = await scene.unsubscribe(1)
    assert (answer.status_code, answer.json()["status"]) == (200, "done")
    assert "a1@" not in answer.text
    wrong = await scene.browser.post("/unsubscribe", json={"key": "k", "address": "nobody"})
    assert wrong.status_code == 422
    assert "email_address" in wrong.json()["detail"]
    assert applied(scene.sandbox) == {"a1@example.com"}


async def test_a_provider_that_is_away_is_a_503_that_says_when_to_come_back(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    """At once, from the second request on: nobody waits for it, and nothing is sent."""
    scene.sandbox.fault(Fault("drop", match="omeda", times=None))
    answers = [await scene.unsubscribe(number) for number in range(2)]
    loop, sent = asyncio.get_running_loop(), len(scene.sandbox.requests)
    began, at_work = loop.time(), loop.create_future()
    _clock.outside.add(at_work)  # the app's own threads, which a busy machine keeps waiting, are no reason to jump
    answers.append(await scene.unsubscribe(2))
    _clock.outside.discard(at_work)
    assert loop.time() - began < 0.1
    assert len(scene.sandbox.requests) == sent
    assert "omeda: refused at once" in caplog.messages[-1]
    assert [answer.status_code for answer in answers] == [503] * 3
    assert [answer.headers["Retry-After"] for answer in answers] == ["5"] * 3
    assert (await scene.browser.get("/health")).json()["breaker"] == "open"


async def test_too_many_who_wait_and_too_long_a_wait_are_503s(scene: Scene) -> None:
    """Of opt-outs and of cancels."""
    scene.sandbox.ocamba.seed_campaigns(["1"])
    scene.sandbox.fault(Fault("429", match="campaigns.cancel", retry_after=60))
    busy = await scene.browser.post("/campaigns/1/cancel", params={"reason": "r"})
    assert busy.status_code == 503
    assert 50 < int(busy.headers["Retry-After"]) <= 61
    batcher = scene.app.state.tools.batcher
    for most, status in ((0, 503), (1, 200)):
        batcher._max_waiting = most
        assert (await scene.unsubscribe(most)).status_code == status


async def test_a_cancel_says_what_became_of_it(scene: Scene) -> None:
    """Done, done before, over, not now, unknown."""
    scene.sandbox.ocamba.seed_campaigns(["1"])
    scene.sandbox.ocamba.seed_campaign("2", status="sent")
    scene.sandbox.ocamba.seed_campaign("draft", status="draft")
    answers = [
        await scene.browser.post(f"/campaigns/{one}/cancel", params={"reason": "r"})
        for one in ("1", "1", "2", "draft", "3")
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 409, 409, 404]
    assert [answer.json()["status"] for answer in answers[:2]] == ["done", "already_done"]


async def test_an_opt_out_is_accepted_and_asked_for_later(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    """By its ticket; what can never be sent is refused at once."""
    accepted = await scene.unsubscribe(1, "/outbox")
    assert accepted.status_code == 202
    ticket = accepted.json()["ticket"]
    scene.sandbox.fault(Fault("slow", "after", seconds=4.0))
    assert (await scene.browser.get(f"/outbox/{ticket}")).json() == {"status": "pending"}
    with caplog.at_level(logging.WARNING, "unsubscribe"):
        while (answer := await scene.browser.get(f"/outbox/{ticket}")).json() == {"status": "pending"}:
            pass
        await asyncio.sleep(1)
    assert answer.json() == {"status": "done"}
    assert "delivered k1 done" in caplog.text
    assert (await scene.browser.get("/outbox/none-of-ours")).status_code == 404
    refused = await scene.browser.post("/outbox", json={"key": "k", "address": "nobody"})
    assert refused.status_code == 422


async def test_an_outcome_whose_handler_is_gone_is_noted(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    """By the key, and without the address."""
    scene.sandbox.fault(Fault("slow", "after", seconds=3.0))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1.0):
            await scene.unsubscribe(1)
    await asyncio.sleep(5.0)
    assert "unheard k1 done" in caplog.text
    assert "a1@" not in caplog.text


async def test_a_shutdown_takes_no_longer_than_the_deadline(scene: Scene) -> None:
    """Whatever the provider does: what is under way by then has its outcome."""
    scene.sandbox.fault(Fault("slow", "before", seconds=300.0, times=None))
    waiting = [asyncio.create_task(scene.unsubscribe(number, path)) for number, path in enumerate(PATHS)]
    await asyncio.sleep(1.0)
    loop = asyncio.get_running_loop()
    began, tools = loop.time(), scene.app.state.tools
    await tools.outbox.aclose()
    await tools.batcher.aclose()
    await tools.manager.aclose()
    assert loop.time() - began < 21.0
    answers = await asyncio.gather(*waiting)
    assert [answer.status_code for answer in answers] == [503, 202]
