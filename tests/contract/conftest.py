"""Executors for these tests, and instances to back up; see support/."""

from support.backups import archive, source, target
from support.bench_fixtures import bench, engine, parametrize_bench

__all__ = ["archive", "bench", "engine", "pytest_generate_tests", "source", "target"]


def pytest_generate_tests(metafunc):
    parametrize_bench(metafunc)
