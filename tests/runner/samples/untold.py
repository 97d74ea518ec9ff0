"""An app that cannot be loaded, and says so with what it was given."""

import os

raise RuntimeError(f"there is no {os.environ['NAME_OF_WHAT_IS_MISSING']}")
