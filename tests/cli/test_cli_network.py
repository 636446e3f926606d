"""The way out of a network: ``--proxy``, ``--ca-file``, and what the environment says."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from omeda_async.cli import app
from omeda_async.testing import run_moved
from tests.cli.cli_scene import Scene, free_port
from tests.core.raw import SELF_SIGNED, says, self_signed, serving
from tests.core.test_core_way_out import TAKEN
from tests.core.tunnels import ConnectProxy, proxying

ADDRESS = "a@omeda.com"


@pytest.fixture
def rows(tmp_path: Path) -> str:
    path = tmp_path / "in.csv"
    path.write_text(f"email\n{ADDRESS}\n")
    return str(path)


@pytest.mark.parametrize("given", ["option", "environment"])
def test_a_run_goes_through_the_proxy_and_trusts_the_authority(
    given: str, rows: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The authority of the file is trusted besides the others; the proxy's password is in nothing that is shown."""
    context, port, seen = self_signed(tmp_path), free_port(), list[ConnectProxy]()
    url = f"http://user:top-secret@127.0.0.1:{port}"
    monkeypatch.setenv("OMEDA_APP_ID", "app-id")
    monkeypatch.setenv("OMEDA_CLIENT", "foo")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    if given == "environment":
        # Of another name, as what is on this machine is reached past it; the server's certificate is for 127.0.0.1.
        monkeypatch.setenv("HTTPS_PROXY", url)
        monkeypatch.setenv("OMEDA_BASE_URL", "https://ows.omeda.example")
    else:
        monkeypatch.setenv("OMEDA_BASE_URL", "https://127.0.0.1:8443")

    def run(main: Coroutine[Any, Any, Any]) -> Any:
        async def inside() -> Any:
            asyncio.get_running_loop().set_exception_handler(lambda *_: None)
            async with serving(says(TAKEN), context) as server, proxying(server.url, at=port) as proxy:
                seen.append(proxy)
                return await main

        return run_moved(inside())

    monkeypatch.setattr("asyncio.run", run)
    options = ["--proxy", url] if given == "option" else []
    result = CliRunner().invoke(
        app, ["opt-out", rows, "--yes", "--ca-file", str(tmp_path / "self-signed.pem"), *options]
    )
    assert "top-secret" not in result.output
    if given == "option":
        assert (result.exit_code, seen[0].asked) == (0, ["CONNECT 127.0.0.1:8443 HTTP/1.1"]), result.output
    else:
        assert "Hostname mismatch" in result.output
        assert seen[0].asked[0] == "CONNECT ows.omeda.example:443 HTTP/1.1"


@pytest.mark.parametrize("plan", ["--plan", "--yes"])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--proxy", "http://user:top#secret@p:1"], "proxy must be a URL such as 'http://proxy:3128'"),
        (["--proxy", "socks5://p:1"], "SOCKS"),
        (["--ca-file", "none.pem"], "--ca-file none.pem cannot be read: No such file or directory"),
        (["--ca-file", "empty.pem"], "--ca-file empty.pem holds no certificates"),
        (["--ca-file", "key.pem"], "--ca-file key.pem holds no certificates"),
    ],
)
def test_a_way_out_that_is_none_is_one_message(
    options: list[str], words: str, plan: str, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is sent; a proxy's URL is not shown, as it may hold a password."""
    monkeypatch.chdir(scene.directory)
    scene.file("empty.pem", "")
    scene.file("key.pem", SELF_SIGNED.partition("-----BEGIN CERTIFICATE")[0])
    result = scene.give("opt-out", scene.file("in.csv", f"email\n{ADDRESS}\n"), plan, *options)
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())
    assert "secret" not in result.output
    assert scene.sandbox.requests == []


@pytest.mark.parametrize("command", ["opt-out", "cancel-deployments", "cancel-campaigns", "cancel-transactions"])
def test_a_wrong_path_names_the_variable_that_leads_there(
    command: str, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each provider's own."""
    provider = {"cancel-campaigns": "OCAMBA", "cancel-transactions": "JOURNEY_MANAGER"}.get(command, "OMEDA")
    monkeypatch.setenv(f"{provider}_BASE_URL", f"http://127.0.0.1:{scene.sandbox.port}/wrong/path")
    given = "email\n" + ADDRESS if command == "opt-out" else "id\n" + "\n".join(f"FOO{one}" for one in range(9))
    result = scene.give(command, scene.file("in.csv", f"{given}\n"), "--yes")
    assert result.exit_code == 1
    assert f"check {provider}_BASE_URL and its path" in " ".join(result.stdout.split())
