"""Who may do what: the table, cell by cell."""

from dataclasses import replace

import pytest

from ci_common.errors import ForbiddenError
from ci_common.job import Visibility
from ci_common.policy import POLICY, Action, JobScope, Policy, Reach
from ci_common.principal import Principal, Role
from support.jobs import a_job

OWN = JobScope(tenant="acme", user="ann")
SHARED = replace(OWN, others=(Visibility.TENANT,))
VIEWED = replace(OWN, others=(Visibility.TENANT, Visibility.VIEWERS))
TENANT = JobScope(tenant="acme")

EXPECTED = {
    (Role.ADMIN, Action.SUBMIT): TENANT,
    (Role.ADMIN, Action.LIST): TENANT,
    (Role.ADMIN, Action.READ): TENANT,
    (Role.ADMIN, Action.CANCEL): TENANT,
    (Role.ADMIN, Action.RERUN): TENANT,
    (Role.ADMIN, Action.USAGE): TENANT,
    (Role.ADMIN, Action.ISSUE_TOKEN): TENANT,
    (Role.ADMIN, Action.METRICS): None,
    (Role.ADMIN, Action.PREVIEW): TENANT,
    (Role.ADMIN, Action.PRIORITIZE): TENANT,
    (Role.ADMIN, Action.SESSIONS): OWN,
    (Role.SUBMITTER, Action.SUBMIT): OWN,
    (Role.SUBMITTER, Action.LIST): SHARED,
    (Role.SUBMITTER, Action.READ): SHARED,
    (Role.SUBMITTER, Action.CANCEL): OWN,
    (Role.SUBMITTER, Action.RERUN): OWN,
    (Role.SUBMITTER, Action.USAGE): None,
    (Role.SUBMITTER, Action.ISSUE_TOKEN): OWN,
    (Role.SUBMITTER, Action.METRICS): None,
    (Role.SUBMITTER, Action.PREVIEW): SHARED,
    (Role.SUBMITTER, Action.PRIORITIZE): None,
    (Role.SUBMITTER, Action.SESSIONS): OWN,
    (Role.VIEWER, Action.SUBMIT): None,
    (Role.VIEWER, Action.LIST): VIEWED,
    (Role.VIEWER, Action.READ): VIEWED,
    (Role.VIEWER, Action.CANCEL): None,
    (Role.VIEWER, Action.RERUN): None,
    (Role.VIEWER, Action.USAGE): None,
    (Role.VIEWER, Action.ISSUE_TOKEN): VIEWED,
    (Role.VIEWER, Action.METRICS): None,
    (Role.VIEWER, Action.PREVIEW): VIEWED,
    (Role.VIEWER, Action.PRIORITIZE): None,
    (Role.VIEWER, Action.SESSIONS): OWN,
}


def scope_of(principal, action):
    try:
        return Policy().scope(principal, action)
    except ForbiddenError:
        return None


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("action", Action)
def test_every_cell(role, action):
    assert scope_of(Principal("acme", "ann", role), action) == EXPECTED[role, action]


def test_the_table_is_whole():
    assert {(role, action) for role in POLICY for action in POLICY[role]} == set(EXPECTED)


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("action", Action)
def test_only_admins_of_the_operator_reach_other_tenants(role, action):
    reach = Policy("operations").reach(Principal("operations", "olga", role), action)
    reads_metrics = role is Role.VIEWER and action is Action.METRICS
    is_admins = role is Role.ADMIN and action not in (Action.RERUN, Action.SESSIONS)
    assert (reach is Reach.ALL) == (is_admins or reads_metrics)


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("action", Action)
def test_a_lent_principal_reads_one_job_and_does_nothing_else(role, action):
    lent = Principal("acme", "ann", role, only_job="j1")
    scope = scope_of(lent, action)
    if action is not Action.READ:
        assert scope is None
    else:
        assert scope is not None
        assert scope.job_id == "j1"
        assert not scope.covers(a_job(job_id="j2", tenant="acme", user="ann"))


def test_a_lent_principal_of_the_operator_reaches_that_job_only():
    lent = Principal("local", "olga", Role.ADMIN, only_job="j1")
    assert scope_of(lent, Action.READ) == JobScope(job_id="j1")


@pytest.mark.parametrize(
    ("scope", "covered"),
    [
        (JobScope(), True),
        (TENANT, True),
        (OWN, True),
        (JobScope(tenant="acme", user="bob"), False),
        (JobScope(tenant="other"), False),
        (JobScope(tenant="other", user="ann"), False),
    ],
)
def test_whose_jobs_a_scope_covers(scope, covered):
    assert scope.covers(a_job(tenant="acme", user="ann")) is covered


@pytest.mark.parametrize(
    ("scope", "covered"),
    [
        (OWN, ()),
        (SHARED, (Visibility.TENANT,)),
        (VIEWED, (Visibility.TENANT, Visibility.VIEWERS)),
        (TENANT, tuple(Visibility)),
        (replace(VIEWED, tenant="other"), ()),
        (replace(VIEWED, job_id="j2"), ()),
    ],
)
def test_which_jobs_of_others_a_scope_covers(scope, covered):
    of_bob = [a_job(tenant="acme", user="bob", visibility=it) for it in Visibility]
    assert tuple(job.visibility for job in of_bob if scope.covers(job)) == covered
    of_ann = [a_job(tenant="acme", user="ann", visibility=it) for it in Visibility]
    if scope.tenant == "acme" and scope.job_id is None:
        assert all(map(scope.covers, of_ann))


def test_a_refusal_says_what_is_refused_and_whom_to_ask():
    with pytest.raises(ForbiddenError, match="'viewer' may not cancel jobs; ask an administrator"):
        Policy().scope(Principal("acme", "vic", Role.VIEWER), Action.CANCEL)
