"""Makes a process executor of settings."""

from ci_controller.executors.process.executor import ProcessExecutor, ProcessOptions
from ci_controller.executors.process.settings import ProcessSettings
from ci_controller.executors.shared.context import ExecutorContext


def process_executor(settings: ProcessSettings, context: ExecutorContext) -> ProcessExecutor:
    """The executor of one instance."""
    return ProcessExecutor(
        ProcessOptions(
            instance_id=context.instance_id,
            data_path=context.data_path,
            setup_timeout_seconds=context.setup_timeout_seconds,
            work_mb=context.work_mb,
            setup_env=context.setup_env,
        )
    )
