"""Calculations on numpy. Runs inside a job's container or on its own; knows nothing of CI."""

from engine.errors import EngineError, HookError, ModelError, RequestError

__all__ = ["EngineError", "HookError", "ModelError", "RequestError"]
