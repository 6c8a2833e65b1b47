"""The settings of an instance, and what commands do for it when no server runs."""

from contextlib import AsyncExitStack

from ci_common.identities import ApiKey, User, new_key_id, new_token, prefix_of, token_digest
from ci_common.job import utc_now
from ci_common.principal import LOCAL_TENANT, Role
from ci_common.settings import Settings
from ci_controller.executors.registry import build_executor
from ci_controller.executors.registry import load_settings as load_settings  # for app and __main__
from ci_controller.executors.registry import misspelled_settings as misspelled_settings
from ci_persistence.database.location import check_location
from ci_persistence.sqlite.identities import SqliteIdentityAdministration
from ci_server.wiring.stores import open_database


def check_database_location(settings: Settings) -> None:
    """Raise DatabaseError unless there can be a database where the settings say."""
    check_location(settings.db_path)


async def what_jobs_run_in(settings: Settings) -> str:
    """In a line for people, see `Executor.describe`. Raises EngineUnavailableError."""
    executor = build_executor(settings, "")
    try:
        return await executor.describe()
    finally:
        await executor.close()


async def issue_key(settings: Settings, name: str) -> str:
    """A new user, and an API key of theirs, which lets its holder submit: a token.

    Raises DatabaseError, and UserExistsError the second time.
    """
    now, token = utc_now(), new_token()
    user = User(f"{name}@localhost", name, now, LOCAL_TENANT)
    key = ApiKey(new_key_id(), prefix_of(token), name, user, Role.SUBMITTER, now)
    async with AsyncExitStack() as stack:
        database = await open_database(settings, stack)
        identities = SqliteIdentityAdministration(database)
        await identities.add_user(user)
        await identities.add_key(key, token_digest(token))
    return token


async def remove_workloads(settings: Settings) -> None:
    """Remove all that this instance has on the engine but cached images: its controller has ended.

    Raises DatabaseError, EngineUnavailableError.
    """
    async with AsyncExitStack() as stack:
        database = await open_database(settings, stack)
        executor = build_executor(settings, database.instance_id)
        stack.push_async_callback(executor.close)
        for workload in await executor.list_workloads():
            await executor.remove(workload.job_id)
        for leftover in await executor.leftovers(0):
            await executor.remove_leftover(leftover)
