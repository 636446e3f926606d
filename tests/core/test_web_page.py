"""The lines of ``docs/web.md`` that bring the example app up, typed as they stand there, on a port of their own."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.core.web_load import EXAMPLES
from tests.limits.postgres_service import free_port

pytest.importorskip("uvicorn", reason="uvicorn is not installed: it comes with the extra recipes")
pytest.importorskip("fastapi", reason="fastapi is not installed: it comes with the extra recipes")
PAGE = EXAMPLES.parent / "web.md"


def _blocks() -> list[str]:
    return re.findall(r"```bash\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """Give a shell in the folder of a reader who has installed what the page names; all that it starts ends with it."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    shutil.copy(EXAMPLES / "web_app.py", tmp_path)
    (tmp_path / "export.csv").write_text("email_address,name\nada@example.com,Ada\n", "utf-8")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    own = {name: value for name, value in os.environ.items() if not name.startswith(("OMEDA", "OCAMBA", "JOURNEY"))}
    process = subprocess.Popen(
        ["bash", "-u"],  # noqa: S607 found as a reader's is
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=own | {"PATH": path},
        start_new_session=True,
    )
    yield process
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def test_the_app_is_brought_up_and_answers_as_the_page_says(shell: "subprocess.Popen[str]") -> None:
    """Two workers; the outbox takes, the batcher has to wait, and what else uses the account reads its file."""
    up, asked, beside = _blocks()
    port = str(free_port())
    lines = "\n".join([up.replace("pip install fastapi uvicorn", ""), asked, f"{beside.strip()} --plan", "kill 0"])
    lines = lines.replace("8000", port).replace("uvicorn web_app:app", f"uvicorn web_app:app --port {port}")
    said, _ = shell.communicate(lines, timeout=90)
    assert '"ticket":"' in said
    assert "HTTP/1.1 503 Service Unavailable" in said
    (seconds,) = re.findall(r"retry-after: (\d+)", said)
    assert 60 < int(seconds) <= 140
    assert '{"detail":"try again later"}' in said
    assert re.search(r"\bto be sent +1\b", said)
