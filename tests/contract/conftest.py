"""Executors for these tests; see support/bench_fixtures.py."""

from support.bench_fixtures import bench, engine, parametrize_bench

__all__ = ["bench", "engine", "pytest_generate_tests"]


def pytest_generate_tests(metafunc):
    parametrize_bench(metafunc)
