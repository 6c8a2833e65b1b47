"""`job-worker certs`: an authority of one's own, certificates, and their revocation."""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ci_common.principal import LOCAL_TENANT
from ci_worker import display
from ci_worker.failures import CommandError
from ci_worker.options import SETTINGS, Json, carry_out, choice_of

if TYPE_CHECKING:
    from ci_worker.authority import Authority

REVOKED = "revoked.txt"
_SERIAL = re.compile(r"(?:0x)?[0-9A-Fa-f]+(?::[0-9A-Fa-f]+)*")

app = typer.Typer(help="Create and revoke certificates.", **SETTINGS)

Directory = Annotated[
    Path,
    typer.Option(
        "--dir", metavar="DIR", help="Directory of the certificate authority (CA), default certs"
    ),
]
Host = Annotated[
    list[str] | None,
    typer.Option(
        "--host",
        metavar="HOST",
        help="Additional host name or address of the server; may be repeated",
        show_default=False,
    ),
]
Organization = Annotated[
    str | None,
    typer.Option(
        "--org",
        metavar="TENANT",
        help="Tenant: O of the certificate [default: $CI_OPERATOR_TENANT or local]",
        show_default=False,
    ),
]

_README = """\
ca-key.pem signs certificates: anyone who has it can impersonate any user. Keep it off the
server, which needs only ca-cert.pem, server-cert.pem and server-key.pem (CI_GRPC_CERTS).

O of a client certificate is the tenant, CN the user, OU the role (admin or viewer). O={tenant},
which is the operator's tenant by default (CI_OPERATOR_TENANT), with OU=admin can access the
jobs of all tenants: admin-client-cert.pem is such a certificate, and client-cert.pem is a copy.
"""


@app.command()
def init(
    context: typer.Context,
    directory: Directory = Path("certs"),
    host: Host = None,
    org: Organization = None,
    as_json: Json = False,
) -> None:
    """Create a certificate authority, a server certificate, and those of an admin and a viewer."""
    _, as_json = choice_of(context, as_json=as_json)

    def run() -> None:
        from ci_worker.authority import CA, SERVER, SERVER_LIFE, Authority, write_private

        tenant = _organization(org)
        if (directory / f"{CA}-key.pem").exists():
            raise CommandError(
                f"{directory} already has a certificate authority: use `certs issue` for more "
                "certificates, or another --dir for a separate authority",
                "ALREADY_EXISTS",
            )
        with _explained(directory):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            authority = Authority.create(tenant)
            written = [
                *authority.pair.write(directory, CA),
                *authority.server(tenant, host or [], SERVER_LIFE).write(directory, SERVER),
            ]
            admin = authority.client("admin", tenant, "admin")
            viewer = authority.client("viewer", tenant, "viewer")
            for pair, name in ((admin, "admin-client"), (viewer, "viewer-client")):
                written += pair.write(directory, name)
            written += admin.write(directory, "client")
            write_private(directory / "README.txt", _README.format(tenant=tenant).encode())
        display.print_files([*written, directory / "README.txt"], as_json=as_json)

    carry_out(run, as_json=as_json)


@app.command()
def issue(
    context: typer.Context,
    role: Annotated[
        str, typer.Option(metavar="ROLE", help="admin, viewer, or server", show_default=False)
    ],
    name: Annotated[
        str, typer.Option(metavar="NAME", help="User: CN of the certificate", show_default=False)
    ] = "",
    org: Organization = None,
    directory: Directory = Path("certs"),
    host: Host = None,
    days: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Lifetime in days, default 365 (server: 825)",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Create NAME-client-cert.pem and NAME-client-key.pem, or renew the server's certificate."""
    _, as_json = choice_of(context, as_json=as_json)

    def run() -> None:
        from ci_worker.authority import CLIENT_LIFE, SERVER, SERVER_LIFE

        tenant = _organization(org)
        authority = _authority(directory)
        with _explained(directory):
            if role == SERVER:
                pair, file_name = (
                    authority.server(tenant, host or [], _life(days, SERVER_LIFE)),
                    role,
                )
            elif role in ("admin", "viewer"):
                if not name:
                    raise CommandError("--name is required: the user that the certificate is for")
                pair = authority.client(name, tenant, role, _life(days, CLIENT_LIFE))
                file_name = f"{_file_name(name)}-client"
            else:
                raise CommandError(f"--role must be admin, viewer or server, not {role!r}")
            written = pair.write(directory, file_name)
        display.print_files(written, as_json=as_json, serial=pair.serial)

    carry_out(run, as_json=as_json)


@app.command()
def revoke(
    context: typer.Context,
    certificates: Annotated[
        list[str],
        typer.Argument(
            metavar="CERT", help="A certificate file, or a serial number", show_default=False
        ),
    ],
    directory: Directory = Path("certs"),
    file: Annotated[
        Path | None,
        typer.Option(
            "--file",
            metavar="FILE",
            help="List of revoked certificates [default: $CI_GRPC_REVOKED or revoked.txt in --dir]",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Revoke certificates: add them to the list, which the server reloads within 2 s."""
    _, as_json = choice_of(context, as_json=as_json)

    def run() -> None:
        serials = [_serial(text) for text in certificates]
        path = file or Path(os.environ.get("CI_GRPC_REVOKED") or directory / REVOKED)
        with _explained(path):
            _append(path, serials)
        display.print_files([path], as_json=as_json, serial=" ".join(serials))

    carry_out(run, as_json=as_json)


def _append(path: Path, serials: Sequence[str]) -> None:
    """In one write to a file that ends with a whole line."""
    content = path.read_bytes() if path.exists() else b""
    begin = b"" if not content or content.endswith(b"\n") else b"\n"
    with path.open("ab") as stream:
        stream.write(begin + "".join(f"{serial}\n" for serial in serials).encode())


def _serial(text: str) -> str:
    from cryptography import x509

    path = Path(text)
    if path.exists():
        try:
            return f"{x509.load_pem_x509_certificate(path.read_bytes()).serial_number:x}"
        except (OSError, ValueError) as error:
            raise CommandError(f"{path} is not a certificate: {error}") from error
    if not _SERIAL.fullmatch(text):
        raise CommandError(f"{text} is neither a file nor a hexadecimal serial number")
    return f"{int(text.replace(':', ''), 16):x}"


def _authority(directory: Path) -> "Authority":
    from ci_worker.authority import Authority

    try:
        return Authority.load(directory)
    except (OSError, ValueError) as error:
        raise CommandError(
            f"there is no certificate authority in {directory} ({error}): create one with `certs "
            "init`",
            "FAILED_PRECONDITION",
        ) from error


def _organization(given: str | None) -> str:
    return given or os.environ.get("CI_OPERATOR_TENANT") or LOCAL_TENANT


def _life(days: int | None, default: timedelta) -> timedelta:
    return default if days is None else timedelta(days=days)


def _file_name(name: str) -> str:
    return "".join(each if each.isalnum() or each in "._@-" else "_" for each in name).lstrip(".")


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CommandError(f"{error.filename or path}: {error.strerror}") from error
    except ValueError as error:  # a name that no certificate can have
        raise CommandError(str(error)) from error
