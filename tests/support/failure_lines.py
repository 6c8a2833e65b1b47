"""The line at the end of a log that says why the job failed."""

import re


def without_failure_line(log, row):
    """What is before it in the log of a job with this row; the line must be there, once. The line
    end that parts it from output without one is left.
    """
    if row["status"] != "failed" or row["reason"] == "timeout":
        return log
    line = re.compile(rb"^ci: the job failed: %s: [^\n]+\n\Z" % row["reason"].encode(), re.M)
    found = line.search(log)
    assert found, f"the log does not say why the job failed: {log[-300:]!r}"
    before = log[: found.start()]
    assert not before.endswith(found[0])
    assert row["log_size"] == len(log)
    return before
