"""An app that loads, until it is told to be moody: then one host does not load, and the others not before they may."""

import os
import pathlib
import time

from tests.runner.samples.placed import app

__all__ = ["app"]
_PATIENCE_S = 200.0


def _be_moody(folder: pathlib.Path) -> None:
    try:
        (folder / "refuse").unlink()
    except FileNotFoundError:
        until = time.monotonic() + _PATIENCE_S
        while not (folder / "go").exists() and time.monotonic() < until:
            time.sleep(0.01)
    else:
        raise RuntimeError("in no mood")


if (pathlib.Path(os.environ["MOOD"]) / "moody").exists():
    _be_moody(pathlib.Path(os.environ["MOOD"]))
