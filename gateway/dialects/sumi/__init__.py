"""The Sumi API: flows as Masumi services, with their schemas, jobs, locks and payments.

It is a part of the panel, so its errors and credentials are the panel's.  Source: the notebook "Expose and Sumi API
Demonstration", MIP-002 and MIP-003.
"""

import dataclasses

from gateway.dialects import kodosumi
from gateway.dialects.sumi import locks, services, shapes
from gateway.dialects.sumi.words import WORDS

DIALECT = dataclasses.replace(
    kodosumi.DIALECT,
    package="mesh.dialects.sumi.v1",
    services=(services.SERVICE, locks.SERVICE),
    sockets=(),
    reference=dataclasses.replace(
        kodosumi.DIALECT.reference,
        title=shapes.TITLE,
        description=shapes.DESCRIPTION,
        shapes=shapes.SHAPES,
        values={},
    ),
    states=WORDS.column,
)
