"""Sends messages as e-mail, by the operator's SMTP server. Imported only where there is one."""

import asyncio
import ssl
from collections.abc import Callable
from datetime import datetime

import aiosmtplib
from typing_extensions import override

from ci_common.deliveries import OF_JOBS, Attempt, Message
from ci_common.notify_targets import NotifyPolicy, mail_target
from ci_common.smtp_server import Encryption, SmtpServer
from ci_controller.delivery.mail_text import compose
from ci_controller.delivery.sender import Sender

_SECONDS = 30.0
_PERMANENT = 500
_SHOWN_CHARACTERS = 200


class MailSender(Sender):
    """One connection for each attempt."""

    def __init__(
        self,
        server: SmtpServer,
        sender: str,
        policy: NotifyPolicy,
        now: Callable[[], datetime],
    ) -> None:
        """`sender` is the address in From."""
        self._server = server
        self._sender = sender
        self._policy = policy
        self._now = now
        self._tls: ssl.SSLContext | None = None

    @override
    async def send(self, message: Message) -> Attempt:
        target = mail_target(message.address)
        if message.owner == OF_JOBS and (refusal := self._policy.refusal(target)):
            return Attempt(False, error=refusal, final=True)
        try:
            async with asyncio.timeout(_SECONDS):
                await self._send(message)
        except TimeoutError:
            return Attempt(False, error=f"the SMTP server did not answer within {_SECONDS:g} s")
        except aiosmtplib.SMTPRecipientsRefused as error:
            codes = [refused.code for refused in error.recipients]
            return Attempt(
                False,
                codes[0],
                _told(str(error.recipients[0].message)),
                final=all(code >= _PERMANENT for code in codes),
            )
        except aiosmtplib.SMTPResponseException as error:
            return Attempt(False, error.code, _told(error.message))
        except (aiosmtplib.SMTPException, OSError) as error:
            return Attempt(False, error=_told(str(error) or type(error).__name__))
        return Attempt(True)

    async def _send(self, message: Message) -> None:
        encrypts = self._server.encryption is not Encryption.NONE
        if encrypts and self._tls is None:  # on a thread: it reads hundreds of certificates
            self._tls = await asyncio.to_thread(ssl.create_default_context)
        await aiosmtplib.send(
            compose(message, self._sender, self._now()),
            sender=self._sender,
            recipients=[message.address],
            hostname=self._server.host,
            port=self._server.port,
            username=self._server.user,
            password=self._server.password,
            use_tls=self._server.encryption is Encryption.TLS,
            start_tls=self._server.encryption is Encryption.STARTTLS,
            tls_context=self._tls,
            # Otherwise the machine's own name would be looked up.
            local_hostname=self._sender.rpartition("@")[2],
            timeout=_SECONDS,
        )


def _told(text: str) -> str:
    words = " ".join(text.split())
    return "".join(one if one.isprintable() else "\ufffd" for one in words)[:_SHOWN_CHARACTERS]
