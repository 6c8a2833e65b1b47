"""Runs commands as processes of this machine. Not isolated: for trying things out."""

from ci_controller.executors.process.executor import ProcessExecutor, ProcessOptions
from ci_controller.executors.process.factory import process_executor
from ci_controller.executors.process.settings import ProcessSettings

__all__ = ["ProcessExecutor", "ProcessOptions", "ProcessSettings", "process_executor"]
