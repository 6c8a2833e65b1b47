"""Runs commands as processes of this machine. Not isolated: for trying things out."""

from ci_controller.executors.process.executor import ProcessExecutor, ProcessOptions

__all__ = ["ProcessExecutor", "ProcessOptions"]
