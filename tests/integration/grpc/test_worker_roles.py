"""Who may do what: each role and each call, over real TLS."""

import socket
import ssl

import grpc
import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from ci_common.worker_api.worker_pb2_grpc import JobServiceStub
from ci_worker.authority import Authority
from support.job_worker import Client, refusal

ABSENT = "00000000-0000-4000-8000-000000000000"
CALLS = {
    "create_job": lambda client: client.create("true"),
    "get_job": lambda client: client.get(ABSENT),
    "stop_job": lambda client: client.stop(ABSENT),
    "list_jobs": lambda client: client.list(),
    "stream_jobs": lambda client: client.output(ABSENT),
}
OF_VIEWERS = {"get_job", "list_jobs", "stream_jobs"}
NOT_FOUND = ("NOT_FOUND", f"job not found: {ABSENT}")
DONE = None


def answer(client, operation):
    try:
        CALLS[operation](client)
    except grpc.RpcError as error:
        return error.code().name, error.details()
    return DONE


def denied(role, operation):
    message = f"role {role} is not allowed to perform operation {operation}"
    return "PERMISSION_DENIED", message


@pytest.mark.parametrize("unit", ["admin", "Admin", "ADMIN"])
def test_an_admin_may_do_everything(worker, unit):
    with worker.client(worker.certificates.client(role=unit)) as client:
        answers = {operation: answer(client, operation) for operation in CALLS}
    assert answers == dict.fromkeys(CALLS, NOT_FOUND) | {"create_job": DONE, "list_jobs": DONE}


def test_a_viewer_may_look(worker):
    with worker.client(worker.certificates.client(role="viewer")) as client:
        answers = {operation: answer(client, operation) for operation in CALLS}
    assert answers == {
        "create_job": denied("viewer", "create_job"),
        "get_job": NOT_FOUND,
        "stop_job": denied("viewer", "stop_job"),
        "list_jobs": DONE,
        "stream_jobs": NOT_FOUND,
    }


@pytest.mark.parametrize("unit", [None, "submitter", "root"])
def test_without_a_role_nothing_is_allowed(worker, unit):
    with worker.client(worker.certificates.client(role=unit)) as client:
        for operation in CALLS:
            assert answer(client, operation) == denied("unknown", operation)


def test_a_viewer_sees_the_jobs_of_the_tenant(worker):
    with worker.client(worker.certificates.client("ann", "viewed")) as admin:
        made = admin.ended(admin.create("echo", "hello").id)
        output = admin.output(made.id)
    with worker.client(worker.certificates.client("vic", "viewed", "viewer")) as viewer:
        assert viewer.get(made.id) == made
        assert [job.id for job in viewer.list()[0]] == [made.id]
        assert viewer.output(made.id) == output


def subject(*attributes):
    return x509.Name([x509.NameAttribute(kind, value) for kind, value in attributes])


ORGANIZATION, UNIT, NAME = (
    NameOID.ORGANIZATION_NAME,
    NameOID.ORGANIZATIONAL_UNIT_NAME,
    NameOID.COMMON_NAME,
)


def with_subject(worker, monkeypatch, *attributes):
    """A client's pair whose subject is this one."""
    monkeypatch.setattr("ci_worker.authority._name", lambda *_: subject(*attributes))
    return worker.certificates.client()


@pytest.mark.parametrize(
    "attributes",
    [
        [(ORGANIZATION, "acme"), (UNIT, "admin")],
        [(NAME, "ann"), (UNIT, "admin")],
        [(ORGANIZATION, "acme"), (UNIT, "admin"), (NAME, "an\nn")],
    ],
)
def test_a_certificate_that_names_nobody(worker, monkeypatch, attributes):
    pair = with_subject(worker, monkeypatch, *attributes)
    with worker.client(pair) as client:
        for operation in CALLS:
            assert answer(client, operation) == (
                "UNAUTHENTICATED",
                "failed to extract client identity",
            )


def test_the_first_unit_that_is_a_role_counts(worker, monkeypatch):
    attributes = [(NAME, "ann"), (UNIT, "staff"), (UNIT, "Viewer"), (UNIT, "admin")]
    pair = with_subject(worker, monkeypatch, *attributes, (ORGANIZATION, "acme"))
    with worker.client(pair) as client:
        assert answer(client, "create_job") == denied("viewer", "create_job")
        assert answer(client, "list_jobs") is DONE


def refused_connection(worker, pair, authority=None):
    with worker.channel(pair, authority=authority) as channel:
        return refusal(lambda: Client(JobServiceStub(channel)).create("true"))[0]


def test_connections_that_are_refused(worker):
    stranger = Authority.create("acme")
    assert refused_connection(worker, worker.certificates.expired()) == "UNAVAILABLE"
    assert refused_connection(worker, stranger.client("ann", "acme", "admin")) == "UNAVAILABLE"
    assert refused_connection(worker, None) == "UNAVAILABLE"
    pair = worker.certificates.client()
    assert refused_connection(worker, pair, stranger) == "UNAVAILABLE", "not the server it knows"
    server = worker.certificates.authority.server("acme", [], worker.certificates.SERVER_LIFE)
    assert refused_connection(worker, server) == "UNAVAILABLE", "it is not for clients"


@pytest.mark.parametrize(
    ("version", "answer"),
    [(ssl.TLSVersion.TLSv1_2, None), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")],
)
def test_only_tls_1_3_is_spoken(worker, tmp_path, version, answer):
    certificate, key = worker.certificates.client().write(tmp_path, "client")
    context = ssl.create_default_context(cafile=worker.certificates.directory / "ca-cert.pem")
    context.load_cert_chain(certificate, key)
    context.maximum_version = version
    context.set_alpn_protocols(["h2"])
    with socket.create_connection(("127.0.0.1", worker.port), timeout=30) as plain:
        try:
            with context.wrap_socket(plain, server_hostname="localhost") as secure:
                spoken = secure.version()
        except OSError:
            spoken = None
    assert spoken == answer


def test_health_is_for_everybody_with_a_role(worker):
    viewer, nobody = (worker.certificates.client(role=role) for role in ("viewer", None))
    for service in ("", "job_worker.JobService"):
        assert worker.health(service, viewer) == "SERVING"
    assert refusal(lambda: worker.health("another", viewer))[0] == "NOT_FOUND"
    assert refusal(lambda: worker.health("", nobody))[0] == "PERMISSION_DENIED"


def test_refusals_are_audited(worker):
    pair = worker.certificates.client("mallory", "audited", "viewer")
    with worker.client(pair) as client:
        assert answer(client, "create_job") == denied("viewer", "create_job")
    with worker.client(worker.certificates.client("mallory", "audited", None)) as client:
        assert answer(client, "create_job") == denied("unknown", "create_job")
    sql = "SELECT action, outcome, detail FROM audit WHERE tenant = 'audited'"
    assert worker.live.execute(sql) == [("submit", "denied", "forbidden")]
    sql = "SELECT count(*) FROM audit WHERE action = 'authenticate' AND detail LIKE 'forbidden%'"
    assert worker.live.execute(sql)[0][0] >= 1
