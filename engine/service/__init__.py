"""The worker: the engine as an HTTP service, with the standard library and numpy only.

`worker` listens, `handler` answers one connection, `model_process` runs each model in a process of
its own, `access`, `tokens` and `keys` decide who may send models, `metrics` counts.
"""
