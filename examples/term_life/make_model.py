"""Make this model's data: `python make_model.py` writes the same files every time.

The numbers are made up, in realistic proportions:

* Mortality follows Gompertz and Makeham, qx = 1 - exp(-(A + B·c^x·(c - 1)/ln c)): an accident
  level A, and an ageing term that grows by a tenth a year. Women's ageing term is 30 % lower.
  It is the table of no population.
* Lapses are high in the first years and settle at 3 %.
* Policies are sold to people in their working years; premiums cover the expected claims of the
  policy's class and its expenses, with a loading.
"""

import math
import random
from pathlib import Path

HERE = Path(__file__).parent
COUNT = 10_000
ACCIDENTS, AGEING, GROWTH, WOMEN = 0.00022, 0.000027, 1.1, 0.7
CLASSES = (  # weight, factor on mortality in the premium
    ("Standard", 45, 1.0),
    ("NonSmoker", 25, 0.85),
    ("Smoker", 15, 1.9),
    ("Preferred", 12, 0.7),
    ("Substandard", 3, 2.5),
)
PRODUCTS = (("Term", 80, None), ("WholeLife", 12, None), ("Endowment", 8, None))
REGIONS = (("north", 30, None), ("south", 35, None), ("east", 15, None), ("west", 20, None))
CHANNELS = (("agent", 50, None), ("broker", 30, None), ("online", 20, None))
TERMS = (10, 15, 20, 20, 25, 30)
EXPENSES = {
    "per_policy_acquisition": 320,
    "per_policy_maintenance": 38,
    "percent_of_premium": 0.05,
    "claim_expense": 250,
}
LOADING = 1.15
INTEREST = 0.03


def main() -> None:
    """Write the four tables."""
    mortality = [(death(age, 1.0), death(age, WOMEN)) for age in range(121)]
    lapse = [0.03 + 0.09 * 0.72**year for year in range(50)]
    write("mortality.csv", "age,male_qx,female_qx", (
        f"{age},{male:.8f},{female:.8f}" for age, (male, female) in enumerate(mortality)
    ))
    write("lapse.csv", "year,lapse_rate", (
        f"{year},{rate:.6f}" for year, rate in enumerate(lapse, 1)
    ))
    write("expenses.csv", "name,value", (f"{name},{value}" for name, value in EXPENSES.items()))
    source = random.Random(20240101)
    write(
        "policies.csv",
        "policy_id,age,gender,sum_assured,premium,term,product_type,underwriting_class,"
        "region,channel",
        (policy(number, source, mortality, lapse) for number in range(1, COUNT + 1)),
    )


def death(age: int, ageing: float) -> float:
    """The probability to die within a year of this age."""
    force = ACCIDENTS + ageing * AGEING * GROWTH**age * (GROWTH - 1) / math.log(GROWTH)
    return 1 - math.exp(-force)


def policy(number: int, source: random.Random, mortality: list, lapse: list) -> str:
    """One row."""
    age = 20 + int(45 * (source.random() + source.random()) / 2)
    gender = int(source.random() < 0.46)
    term = min(TERMS[int(source.random() * len(TERMS))], 75 - age)
    assured = 25_000 * (1 + int(source.random() ** 2 * 24))
    name, _, factor = pick(CLASSES, source)
    words = [pick(table, source)[0] for table in (PRODUCTS, REGIONS, CHANNELS)]
    premium = price(age, gender, term, assured, factor, mortality, lapse)
    premium = round(premium * (0.95 + 0.1 * source.random()), 2)
    return (
        f"P{number:05},{age},{'MF'[gender]},{assured},{premium:.2f},{term},"
        f"{words[0]},{name},{words[1]},{words[2]}"
    )


def pick(table: tuple, source: random.Random) -> tuple:
    """A row of a table by its weights, which are per cent."""
    place = source.random() * 100
    for row in table:
        place -= row[1]
        if place < 0:
            return row
    return table[-1]


def price(
    age: int, gender: int, term: int, assured: float, factor: float, mortality: list, lapse: list
) -> float:
    """The yearly premium that pays for claims and expenses at 3 %, and the loading."""
    lives, discount, cost, years = 1.0, 1.0, float(EXPENSES["per_policy_acquisition"]), 0.0
    for year in range(term):
        q = min(1.0, mortality[min(120, age + year)][gender] * factor)
        discount /= 1 + INTEREST
        cost += discount * lives * EXPENSES["per_policy_maintenance"]
        cost += discount * lives * q * (assured + EXPENSES["claim_expense"])
        years += discount * lives
        lives *= (1 - q) * (1 - lapse[year])
    return LOADING * cost / years / (1 - EXPENSES["percent_of_premium"])


def write(name: str, header: str, rows: object) -> None:
    """Write a table."""
    with (HERE / name).open("w", encoding="ascii", newline="\n") as file:
        file.write(header + "\n")
        file.writelines(f"{row}\n" for row in rows)


if __name__ == "__main__":
    main()
