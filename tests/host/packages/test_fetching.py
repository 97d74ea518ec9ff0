"""What is unpacked stays where it belongs."""

import contextlib
import pathlib
import stat
import struct
import zipfile
from typing import Any

import httpx
import pytest

from agentmesh.host.packages import fetching
from tests.host.packages import wheels


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["lib-main/a.py", "lib-main/b/c.py"], ["a.py", "b/c.py"]),
        (["lib-main/a.py", "d.py"], ["d.py", "lib-main/a.py"]),
        (["a.py"], ["a.py"]),
    ],
)
def test_a_folder_around_all_is_left_out(tmp_path: pathlib.Path, names: list[str], found: list[str]) -> None:
    """As Ray does; what lies beside others stays where it is."""
    wheels.packed(tmp_path / "a.zip", dict.fromkeys(names, "x"))
    fetching.unpack(tmp_path / "a.zip", tmp_path / "into", is_wheel=False)

    files = [path for path in (tmp_path / "into").rglob("*") if path.is_file()]
    assert found == sorted(str(path.relative_to(tmp_path / "into")) for path in files)


@pytest.mark.parametrize("private", [False, True])
async def test_no_redirect_leaves_https(private: bool) -> None:
    """Whoever is in between there could send anything; a mesh that fetches from its own network may."""
    asked: list[str] = []

    async def redirect(scope: Any, receive: Any, send: Any) -> None:
        asked.append(scope["scheme"])
        status = 200 if scope["scheme"] == "http" else 302
        headers = [(b"location", b"http://elsewhere.example/a.zip")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    transport = httpx.ASGITransport(app=redirect)
    async with httpx.AsyncClient(transport=transport, **fetching.following(private=private)) as client:
        with contextlib.nullcontext() if private else pytest.raises(fetching.Unusable, match="only https"):
            await client.get("https://there.example/a.zip")

    assert ["https", "http"][: 1 + private] == asked


@pytest.mark.parametrize("name", ["../a.py", "/a.py", "b/../../a.py", "..\\a.py"])
def test_nothing_leads_elsewhere(tmp_path: pathlib.Path, name: str) -> None:
    """Nor is anything unpacked before that is noticed."""
    wheels.packed(tmp_path / "a.zip", {"fine.py": "", name: "x"})

    with pytest.raises(fetching.Unusable, match="leads elsewhere"):
        fetching.unpack(tmp_path / "a.zip", tmp_path / "into", is_wheel=False)

    assert ["a.zip"] == [path.name for path in tmp_path.iterdir()]


@pytest.mark.parametrize(("method", "at"), [(zipfile.ZIP_DEFLATED, 0), (zipfile.ZIP_BZIP2, 4), (zipfile.ZIP_LZMA, 4)])
def test_what_is_broken_is_refused(tmp_path: pathlib.Path, method: int, at: int) -> None:
    """However it is packed, each of which has errors of its own."""
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("a.py", "".join(map(str, range(1000))))
    at += 30 + len("a.py")  # behind the head of the file
    whole = path.read_bytes()
    path.write_bytes(whole[:at] + b"\xff" * 8 + whole[at + 8 :])

    with pytest.raises((fetching.Unusable, OSError)):
        fetching.unpack(path, tmp_path / "into", is_wheel=False)


def test_a_list_that_is_too_long_is_not_read(tmp_path: pathlib.Path) -> None:
    """Each line of it would become an object, before anybody could count them."""
    path = tmp_path / "a.zip"
    wheels.packed(path, {"a.py": ""})
    with zipfile.ZipFile(path, "a") as archive:
        archive.getinfo("a.py").comment = b"x" * 0xFFFF
        archive.comment = b"written anew"
    whole = path.read_bytes()
    begin, end = whole.index(b"PK\1\2"), whole.rindex(b"PK\5\6")
    times = fetching.DIRECTORY_BYTES_MAX // (end - begin) + 1
    directory = whole[begin:end] * times
    sizes = struct.pack("<HHLL", times, times, len(directory), begin)
    path.write_bytes(whole[:begin] + directory + whole[end : end + 8] + sizes + whole[end + 20 :])

    with pytest.raises(fetching.Unusable, match="the list of what is in it"):
        fetching.unpack(path, tmp_path / "into", is_wheel=False)


def test_a_link_is_refused(tmp_path: pathlib.Path) -> None:
    """It could lead anywhere."""
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc")

    with pytest.raises(fetching.Unusable, match="is a link"):
        fetching.unpack(tmp_path / "a.zip", tmp_path / "into", is_wheel=False)
