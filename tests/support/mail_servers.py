"""A real SMTP server that keeps what it is given, with TLS and a password."""

import ssl
from email import message_from_bytes, policy

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from support.waiting import until_sync


class _Controller(Controller):
    """One whose port the kernel may choose."""

    def _trigger_server(self):
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


class MailServer:
    """Takes mail after STARTTLS, from `ann` with the password `correct horse`."""

    def __init__(self, certificate):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self.envelopes = []
        self.answers = []
        """Refusals to give first."""
        self._controller = _Controller(
            self,
            hostname="127.0.0.1",
            port=0,
            tls_context=context,
            require_starttls=True,
            auth_required=True,
            authenticator=self._authenticate,
        )

    def _authenticate(self, server, session, envelope, mechanism, data):
        known = (data.login, data.password) == (b"ann", b"correct horse")
        return AuthResult(success=known, handled=False)

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody"):
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        self.envelopes.append(envelope)
        return self.answers.pop() if self.answers else "250 OK"

    def __enter__(self):
        self._controller.start()
        return self

    def __exit__(self, *error):
        self._controller.stop()

    @property
    def url(self):
        return f"starttls://ann:correct%20horse@127.0.0.1:{self._controller.port}"

    def wait_for(self, count):
        """The first so many messages, parsed, with their recipients."""
        until_sync(lambda: len(self.envelopes), lambda seen: seen >= count, f"{count} messages")
        return [
            (envelope.rcpt_tos, message_from_bytes(envelope.content, policy=policy.default))
            for envelope in self.envelopes[:count]
        ]
