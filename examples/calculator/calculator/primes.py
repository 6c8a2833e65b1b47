"""Prime numbers."""


def count_primes(limit: int) -> int:
    """How many primes are below `limit`, by the sieve of Eratosthenes."""
    sieve = bytearray([1]) * max(limit, 2)
    sieve[0:2] = b"\0\0"
    for n in range(2, int(limit**0.5) + 1):
        if sieve[n]:
            sieve[n * n :: n] = bytes(len(range(n * n, len(sieve), n)))
    return sum(sieve[:limit]) if limit > 0 else 0


def factorize(number: int) -> list[int]:
    """The prime factors of a positive number, smallest first, by trial division."""
    if number < 1:
        raise ValueError("only positive numbers have prime factors")
    factors, candidate = [], 2
    while candidate * candidate <= number:
        while number % candidate == 0:
            factors.append(candidate)
            number //= candidate
        candidate += 1
    return [*factors, number] if number > 1 else factors
