"""How long a mesh is waited for at its start."""

import asyncio
import pathlib
import socket

import pytest

from agentmesh.supervisor import opening


def test_large_databases_have_time_to_move(tmp_path: pathlib.Path) -> None:
    """A new version may rewrite a gigabyte before its service answers; ended meanwhile, it begins anew each time."""
    with (tmp_path / "runner.db").open("wb") as file:
        file.truncate(1_000_000_000)
    (tmp_path / "auth.db").write_bytes(b"x")

    assert opening.patience_s(tmp_path, ["auth", "edge", "runner"]) == 200
    assert opening.patience_s(tmp_path, ["auth", "edge"]) < 1
    assert opening.patience_s(tmp_path / "new", ["runner"]) == 0


async def test_who_is_late_is_said_and_waited_for(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By name, with the reason; it may still come."""
    monkeypatch.setattr(opening, "READY_WITHIN_S", 0.01)
    with (tmp_path / "runner.db").open("wb") as file:
        file.truncate(1_000_000_000)
    path = tmp_path / "s"
    said: asyncio.Queue[str] = asyncio.Queue()
    parts = [f"runner=socket={path}"]
    waiting = asyncio.create_task(opening.wait_for_all(parts, data_dir=tmp_path, say=said.put_nowait))

    text = await said.get()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        late = await waiting

    assert late == []
    assert text == "not ready yet: runner; a new version may have to move large tables: 200 s more"
