"""Runs commands in containers of a Docker engine."""

from ci_controller.executors.docker.executor import DockerExecutor, DockerOptions

__all__ = ["DockerExecutor", "DockerOptions"]
