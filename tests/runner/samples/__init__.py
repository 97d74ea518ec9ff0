"""Apps that the tests of the runner expose."""
