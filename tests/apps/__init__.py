"""Apps that the tests expose in a real mesh."""
