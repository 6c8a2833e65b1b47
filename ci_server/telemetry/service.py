"""What the server calls itself."""

from ci_common.distribution import installed_version
from ci_common.installation import DISTRIBUTION

SERVICE = DISTRIBUTION
VERSION = installed_version()
