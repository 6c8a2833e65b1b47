"""The init process of job containers, which keeps what the job writes (`ci_init.c`).

`scripts/init-binaries` builds it, for each processor that engines run on; the binaries are part of
the package, so that nobody needs a compiler. `protocol` has the formats it reads and writes.
"""
