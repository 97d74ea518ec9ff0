"""Times as the foreign APIs show them; what they are converted by is `meshkit.clock`."""

import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from meshkit.clock import moment_of, seconds_of


def epoch(time: Timestamp) -> float:
    """Return seconds since 1970, with microseconds."""
    return round(seconds_of(time), 6)


def local(time: Timestamp) -> datetime.datetime:
    """Return a time on this machine's clock, without a zone."""
    return moment_of(time).astimezone().replace(tzinfo=None)
