"""Another module of it."""


def is_prime(number: int) -> bool:
    """Return whether a number is one."""
    return number > 1 and all(number % divisor for divisor in range(2, int(number**0.5) + 1))
