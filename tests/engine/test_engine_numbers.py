"""exp, log, random numbers, exact sums and statistics."""

import math
import random
import re
import statistics
from decimal import Decimal, getcontext
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import engine
from engine.errors import EngineError
from engine.numbers.distribution import bin_edges, count_below_zero, percentile, summarize
from engine.numbers.elementary import exp, log
from engine.numbers.exact import LOWEST, ExactSum, pieces
from engine.scenarios.generator import GeneratedRates, RateModel
from engine.scenarios.mersenne import Mersenne64
from engine.scenarios.normals import MersenneNormals, PhiloxNormals, inverse_normal

getcontext().prec = 50


def errors_in_ulps(found, exact):
    return max(
        abs(float((value - Decimal(number)) / Decimal(math.ulp(number))))
        for number, value in zip(found.tolist(), exact, strict=True)
    )


def test_exp_is_within_an_ulp():
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.uniform(-1, 1, 2000), rng.uniform(-700, 700, 500), [0.0, -0.0, 1.0]])
    assert errors_in_ulps(exp(x), [Decimal(v).exp() for v in x.tolist()]) < 1
    assert exp(np.array([-1000.0, 1000.0])).tolist() == [0.0, math.inf]


def test_log_is_within_an_ulp():
    rng = np.random.default_rng(1)
    near_one = 1 + rng.normal(0, 1e-6, 500)
    wide = 10.0 ** rng.uniform(-300, 300, 500)
    x = np.concatenate([rng.uniform(0, 2, 2000), near_one, wide, [2.0, 0.5]])
    assert errors_in_ulps(log(x), [Decimal(v).ln() for v in x.tolist()]) < 1
    assert log(np.array([1.0])).tolist() == [0.0]


def test_inverse_normal_is_that_of_the_standard_library():
    p = np.random.default_rng(1).uniform(0, 1, 2000)
    p = np.concatenate([p, [2.0**-53, 1e-13, 0.5, 0.075, 0.925, 1 - 2.0**-53]])
    expected = [statistics.NormalDist().inv_cdf(v) for v in p.tolist()]
    np.testing.assert_allclose(inverse_normal(p), expected, rtol=5e-15, atol=1e-300)


def test_mersenne_twister_is_the_standard_one():
    """C++11 [rand.predef]: the 10000th number of a default std::mt19937_64."""
    whole = Mersenne64(5489).words(10_000)
    assert int(whole[-1]) == 9981545732273789042
    again = Mersenne64(5489)
    parts = [again.words(n) for n in (1, 310, 2, 312, 9375)]
    assert (np.concatenate(parts) == whole).all()


def test_polar_normals_are_those_of_the_loop_in_the_specification():
    source, expected = Mersenne64(7), []
    uniform = iter((source.words(400).astype(float) / 2.0**64).tolist())
    while len(expected) < 200:
        x, y = 2 * next(uniform) - 1, 2 * next(uniform) - 1
        q = x * x + y * y
        if 0 < q <= 1:
            m = math.sqrt(-2 * math.log(q) / q)
            expected += [y * m, x * m]
    found = MersenneNormals(7, 4).block(0, 4)
    np.testing.assert_allclose(found.ravel(), expected, rtol=1e-15)


@pytest.mark.parametrize("stream", ["philox", "mt19937_64"])
def test_scenarios_are_prefixes_and_can_be_split(stream):
    def rates(count):
        return GeneratedRates(RateModel(), count, 42, stream)

    whole = rates(100).block(0, 100)
    assert rates(37).block(0, 37).tobytes() == whole[:37].tobytes()
    assert rates(100).block(60, 61).tobytes() == whole[60:61].tobytes()
    assert whole.min() >= 0
    assert whole.max() <= 0.2


def test_philox_counters_are_numpys_own():
    generator = np.random.Philox(key=[42, 0])
    generator.advance(13 * 5)
    word = int(generator.random_raw()) >> 12
    expected = statistics.NormalDist().inv_cdf((word + 0.5) / 2**52)
    assert PhiloxNormals(42).block(5, 6)[0, 0] == pytest.approx(expected, rel=1e-14)


PHILOX_MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
PHILOX_KEYS = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)


def philox(counter, key):
    """Philox-4x64-10 of the paper: four words of one counter, in whole numbers only."""
    x, k = list(counter), list(key)
    for _ in range(10):
        products = PHILOX_MULTIPLIERS[0] * x[0], PHILOX_MULTIPLIERS[1] * x[2]
        (high, low), (other_high, other_low) = (divmod(product, 2**64) for product in products)
        x = [other_high ^ x[1] ^ k[0], other_low, high ^ x[3] ^ k[1], low]
        k = [(number + step) % 2**64 for number, step in zip(k, PHILOX_KEYS, strict=True)]
    return x


def test_philox_of_the_paper():
    """Known answers of its authors' library (Random123, kat_vectors), of zeros and of ones."""
    ones = 2**64 - 1
    assert philox([0] * 4, [0] * 2) == [
        0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B
    ]  # fmt: skip
    assert philox([ones] * 4, [ones] * 2) == [
        0x87B092C3013FE90B, 0x438C3C67BE8D0224, 0x9CC7D7C69CD777B6, 0xA09CAEBF594F0BA0
    ]  # fmt: skip


@pytest.mark.parametrize("seed", [0, 42, 2**64 - 1])
@pytest.mark.parametrize("scenario", [0, 1, 5, 999])
def test_counters_are_those_of_the_documentation(seed, scenario):
    counters = range(13 * scenario + 1, 13 * scenario + 14)
    words = [word for n in counters for word in philox([n, 0, 0, 0], [seed, 0])][:50]
    uniform = np.array([(word // 2**12 + 0.5) / 2**52 for word in words])
    expected = inverse_normal(uniform)
    found = PhiloxNormals(seed).block(scenario, scenario + 1)[0]
    assert found.tolist() == expected.tolist()
    text = (Path(__file__).parents[2] / "docs" / "engine.md").read_text()
    assert "counters 13·i + 1 to 13·i + 13 for scenario i (from 0)" in text


def test_normals_look_normal():
    for source in (PhiloxNormals(1), MersenneNormals(1, 2000)):
        z = source.block(0, 2000)
        assert abs(z.mean()) < 0.02
        assert abs(z.std() - 1) < 0.02
        assert abs(np.corrcoef(z[:, 0], z[:, 1])[0, 1]) < 0.1


def test_rates_walk_as_specified():
    model = RateModel(0.03, 0.01, 0.2, 0.01, 0.05)
    normals = PhiloxNormals(3).block(0, 5)
    found = GeneratedRates(model, 5, 3, "philox").block(0, 5)
    for rates, z in zip(found.tolist(), normals.tolist(), strict=True):
        r = 0.03
        for rate, normal in zip(rates, z, strict=True):
            r = min(max(r * math.exp((0.01 - 0.2**2 / 2) + 0.2 * normal), 0.01), 0.05)
            assert rate == pytest.approx(r, rel=1e-14)
            r = rate


NUMBERS = st.floats(-1e30, 1e30, allow_nan=False)


def rounded(numbers):
    """What the sum promises: terms on a grid of 2⁻⁵⁴, added without rounding, rounded once."""
    unit = Fraction(2) ** LOWEST
    return float(sum((round(Fraction(n) / unit) * unit for n in numbers), Fraction(0)))


@given(st.lists(NUMBERS, min_size=1, max_size=30), st.randoms())
def test_sums_are_exact_in_any_order_and_any_blocks(numbers, order):
    expected = rounded(numbers)
    shuffled = list(numbers)
    order.shuffle(shuffled)
    cut = order.randint(0, len(numbers))
    total, other = ExactSum(()), ExactSum(())
    total.add(np.array(shuffled[:cut]))
    other.add(np.array(shuffled[cut:]))
    total.merge(other)
    assert float(total.value()) == expected


@given(st.lists(st.tuples(st.integers(0, 3), NUMBERS), min_size=1, max_size=30))
def test_grouped_sums_are_exact(pairs):
    total = ExactSum((4,))
    total.add_grouped(np.array([g for g, _ in pairs]), np.array([n for _, n in pairs]))
    expected = [rounded([n for g, n in pairs if g == group]) for group in range(4)]
    assert total.value().tolist() == expected


def test_bins_are_carried_before_they_are_full(monkeypatch):
    monkeypatch.setattr("engine.numbers.exact.MAX_TERMS", 50)
    numbers = [random.Random(n).uniform(-1e9, 1e9) for n in range(400)]
    total = ExactSum(())
    for number in numbers:
        total.add(np.array([number]))
    assert float(total.value()) == math.fsum(numbers)


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan, 1e300])
def test_numbers_that_cannot_be_added_are_refused(number):
    with pytest.raises(EngineError):
        list(pieces(np.array([1.0, number])))


def test_statistics_of_a_hundred_numbers():
    numbers = np.random.default_rng(1).normal(1e6, 1e4, 101)
    found = summarize(numbers, (0, 50, 75, 90, 95, 99, 99.5, 100))
    assert found.mean == pytest.approx(numbers.mean(), rel=1e-14)
    assert found.std_dev == pytest.approx(numbers.std(), rel=1e-12)
    assert found.cte_95 == pytest.approx(np.sort(numbers)[:6].mean(), rel=1e-14)
    for p, number in found.percentiles.items():
        assert number == pytest.approx(np.percentile(numbers, p), rel=1e-14)
    assert (found.least, found.greatest) == (numbers.min(), numbers.max())


def test_the_tail_is_a_twentieth_rounded_up():
    """0.05·140 is above 7 in floating point; seven it is."""
    numbers = np.arange(140.0)
    assert summarize(numbers, ()).cte_95 == 3.0
    assert summarize(numbers[:1], (50,)).cte_95 == 0.0
    assert summarize(numbers[:21], ()).cte_95 == 0.5


def test_percentile_between_two_places():
    assert percentile([1.0, 2.0, 4.0], 75) == 3.0
    assert percentile([5.0], 99) == 5.0


SIZES = st.one_of(st.sampled_from([0.0, 5e-324, 1e6, -1e17, 1e149]), st.floats(-1e149, 1e149))


@given(SIZES, st.lists(st.integers(-60, 60), min_size=1, max_size=9), st.sampled_from([15, 50]))
def test_every_number_is_in_a_range_of_a_histogram(number, ulps, bins):
    """Also where numbers differ by a few units in the last place, and numpy finds too many bins."""
    values = np.array([number + n * math.ulp(number) for n in ulps])
    edges = bin_edges(values, bins)
    assert len(edges) == bins + 1
    assert (np.diff(edges) > 0).all()
    assert np.histogram(values, bins=edges)[0].sum() == len(values)


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=30))
def test_the_ranges_are_numpys_where_numpy_has_some(numbers):
    values = np.array(numbers)
    try:
        expected = np.histogram_bin_edges(values, bins=15)
    except ValueError:
        return
    if (np.diff(expected) > 0).all():
        assert bin_edges(values, 15).tolist() == expected.tolist()


CANCELLING = st.sampled_from([1e16, -1e16, 1.0, -1.0, 0.0, 2.0**-53, -(2.0**-53), 5e-324, -5e-324])


@given(
    st.integers(1, 40).flatmap(
        lambda width: st.lists(
            st.lists(st.one_of(CANCELLING, NUMBERS), min_size=width, max_size=width),
            min_size=1,
            max_size=5,
        )
    )
)
def test_losing_rows_are_those_of_exact_sums(rows):
    expected = sum(sum(map(Fraction, row)) < 0 for row in rows)
    assert count_below_zero(np.array(rows)) == expected
    assert count_below_zero(np.array(rows).T.copy().T) == expected


def test_a_row_whose_sign_rounding_would_hide():
    rows = np.array([[1e16, -1.0, -1e16], [1e16, 1.0, -1e16], [1e16, 0.0, -1e16]])
    assert count_below_zero(rows) == 1
    with pytest.raises(EngineError, match="too large"):
        count_below_zero(np.array([[1e300, math.nan]]))


def test_results_do_not_use_numpys_sums():
    """`np.add.reduce` in `numbers.exact` adds whole numbers below 2⁵³, which does not round."""
    allowed = {"distribution.py": ["rough = rows.sum(axis=1)"], "run.py": ["(result.policies).sum"]}
    numpys = re.compile(r"\.(sum|mean|std|dot|average|trapezoid)\(| @ |np\.(sum|mean|einsum|dot)\(")
    for path in Path(engine.__file__).parent.rglob("*.py"):
        for line in filter(numpys.search, path.read_text().splitlines()):
            known = [*allowed.get(path.name, []), "sums.flows.mean("]
            assert any(text in line for text in known), f"{path.name}: {line}"
