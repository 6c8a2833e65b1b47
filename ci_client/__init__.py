"""The client: send a directory to a CI server and watch its job.

`ci_client.client` is the library, `ci_client.cli` the commands `ci` and `ci-submit`.
"""
