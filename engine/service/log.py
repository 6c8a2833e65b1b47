"""The worker's log, which goes to standard error."""

import logging

LOG = logging.getLogger("engine.worker")
