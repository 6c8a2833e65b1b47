"""Runs commands in containers of a Docker engine."""

from ci_controller.executors.docker.executor import DockerExecutor, DockerOptions
from ci_controller.executors.docker.factory import docker_executor
from ci_controller.executors.docker.settings import DockerSettings

__all__ = ["DockerExecutor", "DockerOptions", "DockerSettings", "docker_executor"]
