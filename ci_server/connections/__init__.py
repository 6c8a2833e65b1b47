"""Connections as uvicorn accepts them: how many, from whom, and what is answered beyond that.

It extends uvicorn's private classes; `uvicorn_shape` checks that they are as expected.
"""
