"""The engine against a straightforward C++ loop over the same portfolio.

Run by hand, on a quiet machine, with g++ there:

    .venv/bin/python benchmarks/engine_against_loop.py [--policies 100000] [--runs 5] [--threads 2]

The loop is what one writes first: for every scenario, for every policy, for every year; compiled
with -O3 -march=native, on one thread. The engine values the same policies under the same rates.
Each is timed after loading, the best of the runs counts, and both have to agree to 1e-10.
`python -m engine bench` has the absolute figures without a compiler.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from engine.command.bench import TABLES, write_portfolio
from engine.model.config import DynamicLapse, parse_config
from engine.model.model import load_model
from engine.parity.golden_set import DEFAULT_CONFIG, GOLDEN
from engine.valuation.plan import Plan
from engine.valuation.valuation import stream, value

DYNAMIC = DynamicLapse(5.0, 0.04, 0.5, 2.0)
LOOP = r"""
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <vector>
using V = std::vector<double>;
static V read(FILE *f, size_t n) { V v(n); if (fread(v.data(), 8, n, f) != n) exit(1); return v; }
int main(int, char **a) {
  size_t n = atoll(a[2]), s = atoll(a[3]); int runs = atoi(a[4]); bool dynamic = atoi(a[5]);
  FILE *f = fopen(a[1], "rb");
  V age = read(f, n), sex = read(f, n), sa = read(f, n), p = read(f, n), term = read(f, n);
  V qx = read(f, 242), lapse = read(f, 50), e = read(f, 4), r = read(f, s * 50), npv(s);
  double best = 1e9;
  for (int run = 0; run < runs; run++) {
    auto start = std::chrono::steady_clock::now();
    for (size_t j = 0; j < s; j++) {
      double total = 0;
      for (size_t i = 0; i < n; i++) {
        double l = 1, d = 1;
        for (int t = 1; t <= std::min((int)term[i], 50); t++) {
          double rate = r[j * 50 + t - 1];
          double q = qx[(int)sex[i] * 121 + std::min(120, (int)age[i] + t - 1)];
          double w = lapse[t - 1];
          if (dynamic) w = std::min(1., w * std::clamp(1 + 5 * (rate - .04), .5, 2.));
          double deaths = l * q, premium = l * p[i], claim = deaths * sa[i];
          double cost = l * (e[1] + e[2] * p[i] + (t == 1 ? e[0] : 0)) + deaths * e[3];
          d /= 1 + rate;
          total += (premium - claim - cost) * d;
          l = (l - deaths) * (1 - w);
          if (l < 1e-10) break;
        }
      }
      npv[j] = total;
    }
    std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    best = std::min(best, took.count());
  }
  printf("%.9f\n", best);
  for (double x : npv) printf("%.17g\n", x);
}
"""


def main() -> None:
    options = argument_parser().parse_args()
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        loop = build(root)
        for name in TABLES:
            (root / name).write_bytes((GOLDEN / "term_life_100x10" / name).read_bytes())
        write_portfolio(root / "policies.csv", options.policies)
        for dynamic in (None, DYNAMIC):
            compare(root, loop, options, dynamic)


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--policies", type=int, default=10_000)
    parser.add_argument("--scenarios", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    return parser


def build(root: Path) -> Path:
    (root / "loop.cpp").write_text(LOOP)
    command = ["g++", "-O3", "-march=native", "-std=c++17", "-o", root / "loop", root / "loop.cpp"]
    subprocess.run(command, check=True)
    return root / "loop"


def compare(root, loop, options, dynamic) -> None:
    settings = DEFAULT_CONFIG | {"scenarios": {"count": options.scenarios}}
    config = parse_config(settings, "benchmark")
    object.__setattr__(config, "dynamic_lapse", dynamic)
    model = load_model(root, config)
    plan = Plan(threads=options.threads)
    seconds, npv = run_loop(root, loop, model, options, dynamic)
    np.testing.assert_allclose(value(model, plan).npv, npv, rtol=1e-10)
    what = "dynamic lapse" if dynamic else "fixed lapse"
    report(f"{what}, portfolio", seconds, best(lambda: value(model, plan), options.runs))
    work = lambda: stream(model, plan, lambda rows: None)  # noqa: E731
    report(f"{what}, by policy", seconds, best(work, options.runs))


def run_loop(root, loop, model, options, dynamic):
    p, basis = model.policies, model.basis.assumptions
    e = basis.expenses
    arrays = (
        p.age, p.gender, p.sum_assured, p.premium, p.term, basis.mortality.ravel(), basis.lapse,
        [e.acquisition, e.maintenance, e.percent_of_premium, e.claim],
        model.rates.block(0, options.scenarios).ravel(),
    )  # fmt: skip
    data = b"".join(np.asarray(array, np.float64).tobytes() for array in arrays)
    (root / "inputs").write_bytes(data)
    sizes = [len(p), options.scenarios, max(1, options.runs // 2), int(dynamic is not None)]
    command = [loop, root / "inputs", *map(str, sizes)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(lines[0]), np.array(lines[1:], float)


def best(work, runs: int) -> float:
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def report(what: str, loop: float, ours: float) -> None:
    sys.stdout.write(f"{what:<26} C++ {loop:8.3f} s  engine {ours:8.3f} s  {loop / ours:7.1f}x\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
