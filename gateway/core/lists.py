"""Lists whose items have no address of their own pages: one that is too long is cut, rather than the list refused.

The APIs we speak number their pages, or answer with all at once; a page that ends early would leave out items for good.
So of a page of so many jobs each may have its part of what an answer can carry.
"""

_ANSWER_BYTES_MAX = 4 * 1024 * 1024
_TEXT_BYTES_MIN = 2048


def text_bytes_max(count: int) -> int:
    """Return how many bytes each long text of a job may have in a list of `count` jobs (`ListJobsRequest`)."""
    return max(_TEXT_BYTES_MIN, _ANSWER_BYTES_MAX // max(1, 2 * count))
