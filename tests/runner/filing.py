"""Files for tests of the runner's parts."""

from services.runner.domain.files import Limits
from services.runner.files.files import Files
from services.runner.stores.memory.files import MemoryFiles


def kept_files(limits: Limits | None = None) -> Files:
    """Return files that are in memory."""
    return Files(MemoryFiles(), limits or Limits())
