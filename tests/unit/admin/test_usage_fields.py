"""`ci-admin usage --json` and `GET /usage` describe a tenant with the same fields."""

import json

from ci_admin.usage import to_json
from ci_common.ports.usage import NO_QUOTAS, TenantUsage
from ci_server.apis.native.present import usage_json
from ci_server.services.usage import UsageReport

USAGES = [
    TenantUsage("acme", 1, 2, 3, 4, package_bytes=5, log_bytes=6, artifact_bytes=7),
    TenantUsage("other"),
]


def test_the_command_and_the_api_say_the_same():
    told = usage_json(UsageReport(NO_QUOTAS, None, USAGES))["tenants"]
    assert json.loads(to_json(USAGES)) == told
