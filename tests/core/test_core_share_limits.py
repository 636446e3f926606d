"""Where limits are shared: what may be given, what is made of it, and managers that do it."""

import asyncio
import importlib.util
import sys
import threading
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from omeda_async import ConfigurationError, LimitWaitExceeded, OcambaSettings, RateLimit, SessionManager, Window
from omeda_async._account import account_key
from omeda_async._call import Call
from omeda_async._call_options import CallOptions
from omeda_async._environment import settings_from_env
from omeda_async._operation import Lapsed
from omeda_async.limits import Permit, Priority, check_where
from omeda_async.limits._conversation import LeasedPermit
from omeda_async.limits._where import open_store
from omeda_async.outcomes import Tally
from omeda_async.providers.ocamba import _operations as ocamba
from omeda_async.providers.ocamba.models import CampaignCancel
from omeda_async.sandbox import Sandbox
from tests.core.raw import GET, OK, POST, says, send, serving, transporting
from tests.core.scripted import account, answer
from tests.limits.fake_store import middle

SECRET = "s3cr3t-v4lue"
LIMIT = RateLimit(Window(10, 1.0), Window(150, 60.0), parallel=10)


def settings(**changes: Any) -> OcambaSettings:
    """Make settings with a secret."""
    return OcambaSettings(**{"token": SECRET, "rate_limit": LIMIT, **changes})


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("", "share_limits must be the path of a folder or file, redis://… or postgresql://…"),
        (7, "share_limits must be"),
        (b"/run/omeda", "share_limits must be"),
        ("sqlite:///run/omeda", "'sqlite', which is no scheme that limits can be shared by: give redis://…"),
        (f"mysql://user:{SECRET}@host", "'mysql', which is no scheme"),
        (f"{SECRET} ://", "begins with that, which is no scheme"),
    ],
)
def test_a_place_that_is_none_is_refused_in_words(where: Any, said: str) -> None:
    """The scheme is named, and nothing of what may be a secret."""
    with pytest.raises(ConfigurationError) as caught:
        SessionManager(ocamba=settings(), share_limits=where)
    assert said in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("where", "said"),
    [
        (f"redis://:{SECRET}@host/0", "redis://, which needs an extra: pip install 'omeda-async[redis]'"),
        (f"rediss://:{SECRET}@host/0", "pip install 'omeda-async[redis]'"),
        ("unix:///run/redis.socket", "pip install 'omeda-async[redis]'"),
        (f"postgresql://user:{SECRET}@host/db", "pip install 'omeda-async[postgres]'"),
    ],
)
def test_a_server_whose_extra_is_missing_says_how_to_install_it(
    where: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything else is done."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigurationError) as caught:
        check_where(where)
    assert said in str(caught.value)
    assert SECRET not in str(caught.value)


def test_the_stores_of_servers_are_made_of_the_url_and_the_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that is none is refused in the store's own words."""
    module: Any = types.ModuleType("omeda_async.limits._redis_store")

    def make(url: str, account: str, uniform: Callable[[], float]) -> str:
        if "nonsense" in url:
            raise ValueError("the port is none")
        return f"{url} {account} {uniform()}"

    module.RedisStore = make
    monkeypatch.setitem(sys.modules, "omeda_async.limits._redis_store", module)
    key = account_key("ocamba", settings(), SECRET)
    made: Any = open_store("redis://host/0", key, middle)
    assert made.startswith("redis://host/0 ocamba-")
    assert made.endswith(" 0.5")
    with pytest.raises(ConfigurationError, match="share_limits: the port is none"):
        open_store("redis://nonsense", key, middle)


def test_every_account_has_a_file_of_its_own_in_a_folder(tmp_path: Path) -> None:
    """Its name is the same in every process, and holds no secret; a file is the one that is given."""
    key = account_key("ocamba", settings(), SECRET)
    other = account_key("ocamba", settings(base_url="http://127.0.0.1:8080"), SECRET)
    named = account_key("ocamba", settings(account="spring"), SECRET)
    names = {open_store(tmp_path, one, middle).name for one in (key, key, other, named)}
    assert len(names) == 3
    assert not any(SECRET in name for name in names)
    assert all(name.startswith(f"the file {tmp_path}/ocamba-") for name in names)
    for given in (tmp_path / "limits.sqlite3", tmp_path / "limits.db"):
        assert open_store(str(given), key, middle).name == f"the file {given}"
    (tmp_path / "there").touch()
    assert open_store(tmp_path / "there", key, middle).name == f"the file {tmp_path / 'there'}"


def test_the_environment_says_where_limits_are_shared() -> None:
    """Whichever provider is asked for; what it says is not shown, and an error names the variable."""
    given = {"OCAMBA_TOKEN": SECRET, "OMEDA_ASYNC_SHARE_LIMITS": f"/run/{SECRET}"}
    for only in (None, "ocamba"):
        found = settings_from_env(given, only=only)
        assert found.share_limits == f"/run/{SECRET}"
        assert SECRET not in repr(found)
    assert settings_from_env({**given, "OMEDA_ASYNC_SHARE_LIMITS": ""}).share_limits is None
    with pytest.raises(ConfigurationError, match="OMEDA_ASYNC_SHARE_LIMITS begins with 'ftp'"):
        settings_from_env({**given, "OMEDA_ASYNC_SHARE_LIMITS": "ftp://host"})


async def test_a_manager_from_the_environment_shares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that is told to."""
    monkeypatch.setenv("OCAMBA_TOKEN", SECRET)
    monkeypatch.setenv("OMEDA_ASYNC_SHARE_LIMITS", str(tmp_path))
    async with SessionManager.from_env() as manager:
        assert manager.ocamba.limits.shared_by.startswith(f"the file {tmp_path}")
    async with SessionManager.from_env(share_limits=tmp_path / "own") as manager:
        assert manager.ocamba.limits.shared_by.startswith(f"the file {tmp_path / 'own'}")
    async with SessionManager(ocamba=settings()) as manager:
        assert manager.ocamba.limits.shared_by == "process"


async def test_managers_share_by_a_file_and_leave_it_in_order(tmp_path: Path) -> None:
    """The first waits as long as nobody knows what was sent before; later ones do not."""
    async with Sandbox() as sandbox:
        for place in range(40):
            sandbox.ocamba.seed_campaign(f"c{place}")
        own = settings(token=sandbox.ocamba_token, base_url=sandbox.url)
        loop = asyncio.get_running_loop()
        async with SessionManager(ocamba=own, share_limits=tmp_path / "new") as manager:
            with pytest.raises(LimitWaitExceeded, match="does not know what was sent before"):
                await manager.ocamba.campaigns.cancel("c0", reason="test", max_wait=30.0)
            assert manager.ocamba.limits.held_for == pytest.approx(71.0 + 60.06, abs=0.1)
            await manager.ocamba.campaigns.cancel("c0", reason="test")
        began = loop.time()
        managers = [SessionManager(ocamba=own, share_limits=tmp_path / "new") for _ in range(2)]
        calls = [
            managers[place % 2].ocamba.campaigns.cancel(f"c{place}", reason="test", max_wait=100.0)
            for place in range(1, 30)
        ]
        await asyncio.gather(*calls)
        assert 2.0 < loop.time() - began < 4.0
        assert managers[0].ocamba.limits.clients == 2
        for manager in managers:
            await manager.aclose()
        assert not any(one.refused for one in sandbox.requests)
    (file,) = (tmp_path / "new").glob("ocamba-*")  # SQLite has cleaned up beside it
    assert file.suffix == ".sqlite3"


@attrs.define(eq=False)
class Late:
    """Says so often that it is too late."""

    times: int

    def __call__(self) -> bool:
        """Whether it is."""
        self.times -= 1
        return self.times >= 0


@pytest.mark.parametrize("request_", [GET, POST], ids=["GET", "POST"])
async def test_a_request_that_is_too_late_is_not_written(request_: Any) -> None:
    """Neither on a new connection nor on one that is kept; and a later one is."""
    async with serving(says(OK)) as server, transporting() as transport:
        for _ in range(2):
            with pytest.raises(Lapsed) as caught:
                await send(transport, server.url, request_, is_late=Late(1))
            assert caught.value.sent is False
            before = len(server.requests)
            assert (await send(transport, server.url, request_, is_late=Late(0))).status == 200
            assert len(server.requests) == before + 1
    assert len(server.requests) == 2


class Lapsing:
    """A limiter whose first permits lapse at once."""

    def __init__(self, late: int) -> None:
        self.late = late
        self.given = list[LeasedPermit]()
        self.back = list[tuple[int, bool]]()

    async def acquire(self, **how: Any) -> Permit:
        """Give a permit that has lapsed, or one that has not."""
        number = len(self.given)
        over = number < self.late
        permit = LeasedPermit(how["priority"], 0.0, number=number, until=0.0, clock=lambda: float(over))
        permit.until = 0.5
        self.given.append(permit)
        return permit

    def release(self, permit: LeasedPermit, *, sent: bool = True, **_: Any) -> None:
        """Note what came back, and whether it was used."""
        if not permit.done:
            permit.done = True
            self.back.append((permit.number, sent))


@pytest.mark.parametrize("carried", [False, True])
async def test_a_permit_that_has_lapsed_goes_back_and_another_is_acquired(*, carried: bool) -> None:
    """Also one that was acquired long before, as the batcher does; nothing is sent, and nothing counts."""
    (owner, transport), limiter, tally = account(answer(204), provider="ocamba"), Lapsing(2), Tally()
    permit = await limiter.acquire(priority=Priority.BULK) if carried else None
    options = CallOptions(tally=tally, permit=permit)
    owner.limiter = limiter  # type: ignore[assignment]  # it has what is needed
    call = Call(owner, ocamba.CANCEL, CampaignCancel(campaign_id="7", reason="test"), options)
    result = await call.run()
    assert (result.error, result.attempts, tally.requests, len(transport.sent)) == (None, 1, 1, 1)
    assert limiter.back == [(0, False), (1, False), (2, True)]


async def test_a_manager_whose_end_is_cancelled_parts_from_the_store_all_the_same(tmp_path: Path) -> None:
    """Its session is closed at once, and no thread goes on."""
    arrived = asyncio.Event()

    async def never(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        arrived.set()
        await asyncio.Event().wait()

    async with serving(never) as server:
        manager = SessionManager(ocamba=settings(base_url=server.url), share_limits=tmp_path / "limits.sqlite3")
        call = asyncio.create_task(manager.ocamba.campaigns.cancel("7", reason="test"))
        await arrived.wait()
        end = asyncio.create_task(manager.aclose())
        await asyncio.sleep(1.0)
        end.cancel()
        with pytest.raises(asyncio.CancelledError):
            await end
        call.cancel()
        await asyncio.wait({call})
    for thread in threading.enumerate():
        if thread.name == "omeda_async limits":
            thread.join(5.0)
            assert not thread.is_alive()
