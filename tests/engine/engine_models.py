"""Models for tests: files in a directory, and the same numbers for the reference."""

import csv
import itertools
import json

import numpy as np
from engine_reference import Inputs

HEADER = "policy_id,age,gender,sum_assured,premium,term,product_type,underwriting_class"
EXPENSES = {
    "per_policy_acquisition": 350.0,
    "per_policy_maintenance": 42.0,
    "percent_of_premium": 0.06,
    "claim_expense": 180.0,
}
CONFIG = {
    "model": "term_life",
    "policies": "policies.csv",
    "assumptions": {"mortality": "mortality.csv", "lapse": "lapse.csv", "expenses": "expenses.csv"},
    "scenarios": {"file": "scenarios.csv"},
}


def mortality_row(age):
    male = min(1.0, 0.0005 + 0.00003 * 1.1**age)
    return round(male, 8), round(0.8 * male, 8)


def make_inputs(**changes):
    mortality = [mortality_row(age) for age in range(121)]
    lapse = [round(0.02 + 0.1 * 0.8**year, 6) for year in range(50)]
    return Inputs(**{"mortality": mortality, "lapse": lapse, "expenses": EXPENSES} | changes)


def make_policies(count, seed=1, **fixed):
    rng = np.random.default_rng(seed)
    return [
        {
            "age": int(rng.integers(0, 121)),
            "gender": int(rng.integers(0, 2)),
            "sum_assured": float(rng.integers(1, 100) * 5000),
            "premium": round(float(rng.uniform(50, 3000)), 2),
            "term": int(rng.integers(1, 71)),
            "region": str(rng.choice(["north", "south", "Österreich"])),
        }
        | fixed
        for _ in range(count)
    ]


def make_scenarios(count, seed=2):
    rng = np.random.default_rng(seed)
    return np.round(rng.uniform(-0.02, 0.12, (count, 50)), 6).tolist()


def policy_lines(policies, first_id=1):
    genders, products = ("M", "F"), ("Term", "WholeLife", "Endowment")
    for number, p in enumerate(policies, first_id):
        words = (
            p.get("product_type", products[number % 3]),
            p.get("underwriting_class", "Standard"),
            p["region"],
        )
        yield (
            f"{number},{p['age']},{genders[p['gender']]},{p['sum_assured']:.0f},"
            f"{p['premium']:.2f},{p['term']},{','.join(words)}"
        )


def write_model(root, policies, scenarios, inputs=None, *, splits=(), **config):
    """Write a model; `splits` are the places at which the policies go to another file."""
    root.mkdir(parents=True, exist_ok=True)
    inputs = inputs or make_inputs()
    lines = list(policy_lines(policies))
    places = [0, *sorted(splits), len(lines)]
    names = []
    for start, stop in itertools.pairwise(places):
        if stop > start:
            names.append(f"policies_{len(names)}.csv")
            write_lines(root / names[-1], [f"{HEADER},region", *lines[start:stop]])
    write_tables(root, inputs)
    years = ",".join(f"year_{year}" for year in range(1, 51))
    rows = [f"{i},{','.join(map(repr, rates))}" for i, rates in enumerate(scenarios, 1)]
    write_lines(root / "scenarios.csv", [f"scenario_id,{years}", *rows])
    document = CONFIG | {"policies": names} | config
    document["output"] = {"acceptNoMaturity": True} | document.get("output", {})
    (root / "livecalc.config.json").write_text(json.dumps(document))
    return root


def write_tables(root, inputs):
    ages = [f"{age},{m!r},{f!r}" for age, (m, f) in enumerate(inputs.mortality)]
    write_lines(root / "mortality.csv", ["age,male_qx,female_qx", *ages])
    years = [f"{year},{rate!r}" for year, rate in enumerate(inputs.lapse, 1)]
    write_lines(root / "lapse.csv", ["year,lapse_rate", *years])
    values = [f"{name},{value!r}" for name, value in inputs.expenses.items()]
    write_lines(root / "expenses.csv", ["name,value", *values])


def write_lines(path, lines):
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def read_columns(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
