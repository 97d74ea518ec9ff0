"""What Kasal calls the states of an execution."""

from gateway.core.states import COMING

WORDS = COMING["kasal"]
