"""How executors hand secrets to commands (port Executor), and that nothing of them stays."""

import json
import shutil

import docker
import pytest

from ci_common.secret import Secret
from support.executors import WAIT_FOR_EVER, Bench, collect, drain, read_line, remove_of_instance

pytestmark = pytest.mark.anyio

TOKEN = Secret("TOKEN", b"correct 'horse' \"battery\" $staple `x` \\n \xc3\xa9\xff\n\nend\n\n")
KEY = Secret("KEY", bytes(range(256)), in_environment=False)

SHOW = """
import json, os, pathlib, stat, sys
place = pathlib.Path(os.environ["CI_SECRETS_DIR"])
facts = {path.name: [path.read_bytes().hex(), stat.S_IMODE(path.stat().st_mode),
                     path.stat().st_uid == os.getuid()] for path in place.iterdir()}
facts["modes"] = stat.S_IMODE(place.stat().st_mode)
facts["variable"] = os.environb[b"TOKEN"].hex()
facts["no variable"] = "KEY" not in os.environ
facts["others"] = [name for name in os.environ if name.startswith("_ci")]
facts["outside"] = pathlib.Path.cwd() not in place.parents
print(json.dumps(facts), flush=True)
sys.stdin.read()
"""


async def test_files_and_variables(bench):
    job = bench.job(SHOW, env={"TOKEN": "the secret comes before this"})
    output = await bench.launch(job, secrets=[TOKEN, KEY])
    facts = json.loads(await read_line(output))
    assert facts == {
        "TOKEN": [TOKEN.value.hex(), 0o400, True],
        "KEY": [KEY.value.hex(), 0o400, True],
        "modes": 0o700,
        "variable": TOKEN.value.hex(),
        "no variable": True,
        "others": [],
        "outside": True,
    }
    await collect(output)


async def test_without_secrets_there_is_no_directory(bench):
    finished = await bench.run(
        "import os; print('CI_SECRETS_DIR' in os.environ, os.path.exists('/run/secrets'))"
    )
    assert finished.output == b"False False\n"


async def test_a_command_gets_its_own_exit_code_and_signals(bench):
    job = bench.job("import sys; sys.exit(7)")
    await collect(await bench.launch(job, secrets=[TOKEN]))
    assert (await bench.ended(job.job_id)).exit_code == 7


async def test_the_largest_secrets_there_may_be(bench):
    large = Secret("LARGE", b"0123456789abcdef" * 4096)
    job = bench.job("import os; print(len(os.environ['LARGE']))")
    assert await collect(await bench.launch(job, secrets=[large])) == b"65536\n"


async def test_another_attempt_has_only_its_own(bench):
    job = bench.job(SHOW)
    await collect(await bench.launch(job, secrets=[TOKEN]))
    source = "import os; print(os.listdir(os.environ['CI_SECRETS_DIR']))"
    again = bench.job(source)
    await collect(await bench.launch(again, secrets=[KEY]))
    output = await bench.launch(job, secrets=[KEY, TOKEN], epoch=2)
    assert sorted(json.loads(await read_line(output)))[:2] == ["KEY", "TOKEN"]
    await collect(output)


async def test_process_files_hold_no_value(tmp_path):
    bench = Bench(tmp_path, "process")
    secret = Secret("TOKEN", b"correct-horse-battery")
    try:
        job = bench.job("print('ran')")
        await collect(await bench.launch(job, secrets=[secret]))
        for path in (tmp_path / "data").rglob("*"):
            assert not path.is_file() or secret.value not in path.read_bytes(), path
        await bench.executor.remove(job.job_id)
        assert not [*bench.works.glob("*.secrets")]
    finally:
        await bench.close()
        shutil.rmtree(bench.works, ignore_errors=True)


@pytest.mark.docker
async def test_the_engine_does_not_tell(tmp_path):
    bench = Bench(tmp_path, "docker")
    client = docker.from_env(version="auto")
    secret = Secret("TOKEN", b"correct-horse-battery")
    try:
        job = bench.job(WAIT_FOR_EVER)
        output = await bench.launch(job, secrets=[secret])
        assert await read_line(output) == b"ready\n"
        name = f"{bench.prefix}{job.job_id}"
        told = json.dumps([client.api.inspect_container(name), client.api.top(name)])
        assert "correct-horse" not in told
        assert "TOKEN" in told
        await bench.executor.remove(job.job_id)
        await drain(output)
    finally:
        await bench.close()
        remove_of_instance(bench.instance)
        client.close()
