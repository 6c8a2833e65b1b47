"""Made-up portfolios, the same for the same seed."""

from pathlib import Path

import numpy as np

HEADER = "policy_id,age,gender,sum_assured,premium,term,product_type,underwriting_class,region\n"
WORDS = {
    "gender": ("M", "F"),
    "product": ("Term", "WholeLife", "Endowment"),
    "class": ("Standard", "Smoker", "NonSmoker", "Preferred", "Substandard"),
    "region": ("north", "south", "east", "west"),
}


def write_portfolio(path: Path, count: int, seed: int = 3) -> None:
    """Write made-up policies; the same for the same seed."""
    rng = np.random.Generator(np.random.PCG64(seed))
    words = {name: rng.integers(0, len(known), count) for name, known in WORDS.items()}
    age, term = rng.integers(20, 66, count), rng.integers(5, 36, count)
    assured = rng.integers(5, 101, count) * 5000
    cents = assured * (age - 10) // 20
    columns = [
        age, (WORDS["gender"][i] for i in words["gender"].tolist()), assured,
        (f"{c // 100}.{c % 100:02}" for c in cents.tolist()), term,
        (WORDS["product"][i] for i in words["product"].tolist()),
        (WORDS["class"][i] for i in words["class"].tolist()),
        (WORDS["region"][i] for i in words["region"].tolist()),
    ]  # fmt: skip
    with path.open("w", encoding="ascii") as file:
        file.write(HEADER)
        for number, fields in enumerate(zip(*columns, strict=True), 1):
            file.write(f"{number},{','.join(map(str, fields))}\n")
