"""What MIP-003 calls the states of a job."""

from gateway.core.mip003.words import COLUMN
from gateway.core.states import Words

WORDS = Words("mip003", COLUMN)
