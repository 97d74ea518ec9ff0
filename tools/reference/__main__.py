"""`python -m tools.reference FOLDER`: write the pages there."""

import pathlib
import sys

from tools.reference import pages

for name, text in pages().items():
    (pathlib.Path(sys.argv[1]) / name).write_text(text, encoding="utf-8")
