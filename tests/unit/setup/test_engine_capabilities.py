import json

import numpy as np
import pytest

from engine import __main__ as command_line
from engine.valuation import capabilities as subject

V1_NO_LIMIT = "9223372036854771712\n"


def write(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({"memory.max": "268435456\n"}, 268435456),
        ({"memory.max": "max\n"}, None),
        ({"memory/memory.limit_in_bytes": "268435456\n"}, 268435456),
        ({"memory/memory.limit_in_bytes": V1_NO_LIMIT}, None),
        ({}, None),
    ],
)
def test_memory_limit_of_both_kinds_of_control_group(tmp_path, files, limit):
    assert subject.memory_limit(write(tmp_path, files)) == limit


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 0.5),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({}, None),
    ],
)
def test_cpu_quota_of_both_kinds_of_control_group(tmp_path, files, quota):
    assert subject.cpu_quota(write(tmp_path, files)) == quota


def test_what_it_says_of_numpy_is_what_numpy_says():
    found = subject.capabilities()
    assert found["numpy"] == np.__version__
    assert found["blas"]["name"] != "unknown"
    assert set(found["simd"]["baseline"]) <= set(found["simd"]["in_use"])
    assert not set(found["simd"]["in_use"]) & set(found["simd"]["not_found"])


def test_thread_limits_in_the_environment_are_reported(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    found = subject.threads()
    assert found["environment"]["OMP_NUM_THREADS"] == "3"
    assert 1 <= found["usable_cpus"] <= found["cpus"]


def test_command_prints_json(capsys):
    assert command_line.main(["capabilities"]) == 0
    assert json.loads(capsys.readouterr().out)["numpy"] == np.__version__


def test_a_command_is_required(capsys):
    with pytest.raises(SystemExit) as caught:
        command_line.main([])
    assert caught.value.code == 2
