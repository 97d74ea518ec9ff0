"""When a peer is installed."""

import pathlib
import subprocess

import pytest

from benchmarks.peers.installs import PINS, ensure


def test_a_peer_is_installed_again_only_when_its_pins_change(tmp_path: pathlib.Path) -> None:
    """What was put into the environment stays there until then."""
    pins = tmp_path / "pins"
    pins.mkdir()
    (pins / "peer.txt").write_text("# nothing\n")
    programs = ensure("peer", tmp_path, pins)
    mark = programs / "mark"
    mark.touch()

    assert (programs, True) == (ensure("peer", tmp_path, pins), mark.exists())
    (pins / "peer.txt").write_text("# nothing else\n")
    assert (programs, False) == (ensure("peer", tmp_path, pins), mark.exists())


def test_an_installation_that_fails_is_tried_again(tmp_path: pathlib.Path) -> None:
    """Half an environment is not taken for a whole one."""
    (tmp_path / "peer.txt").write_text("./absent.whl\n")
    for _ in range(2):
        with pytest.raises(subprocess.CalledProcessError):
            ensure("peer", tmp_path / "root", tmp_path)


@pytest.mark.parametrize("name", ["dbos", "langgraph"])
def test_peers_are_pinned_to_the_last_package(name: str) -> None:
    """Two runs a month apart measure the same peer, wherever its packages are taken from."""
    lines = (PINS / f"{name}.txt").read_text().splitlines()

    assert [] == [line for line in lines if "==" not in line or "://" in line or line.startswith("-")]
