"""What commands print, made from records."""

import datetime

from agentmesh.cli.terminal import output


def test_a_moment_has_its_zone() -> None:
    """Who reads it elsewhere, or in a log, knows which moment it is."""
    moment = datetime.datetime(2026, 11, 27, 1, 2, 3, tzinfo=datetime.UTC)

    assert f"{moment.astimezone():%Y-%m-%d %H:%M:%S %Z}" == output.moment(moment)
    assert output.moment(moment).endswith(str(moment.astimezone().tzname()))
    assert "" == output.moment(None)
