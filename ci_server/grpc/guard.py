"""What every call passes: request id, authentication, authorization, errors as statuses."""

import asyncio
import inspect
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc
import grpc.aio
from typing_extensions import override

from ci_common.errors import ForbiddenError
from ci_common.policy import Action
from ci_common.trace_context import begin_request_trace
from ci_server.access.auth.certificates import subject_of
from ci_server.grpc.caller import Caller, credentials_of, current_caller, role_of, set_caller
from ci_server.grpc.errors import Context, abort, status_of
from ci_server.grpc.revocations import Revocations
from ci_server.http.guards import AccessControl
from ci_server.telemetry.metrics import ServerMetrics
from ci_server.telemetry.request_id import begin_request, choose_request_id

logger = logging.getLogger(__name__)

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Found: TypeAlias = "Handler | None"
Behavior = Callable[[Any, Context], Any]


@dataclass(frozen=True, slots=True)
class Operation:
    """What a method lets people do."""

    action: Action
    name: str


SERVICE = "job_worker.JobService"

OPERATIONS = {
    f"/{SERVICE}/CreateJob": Operation(Action.SUBMIT, "create_job"),
    f"/{SERVICE}/GetJob": Operation(Action.READ, "get_job"),
    f"/{SERVICE}/StopJob": Operation(Action.CANCEL, "stop_job"),
    f"/{SERVICE}/GetJobs": Operation(Action.LIST, "list_jobs"),
    f"/{SERVICE}/GetJobsStream": Operation(Action.READ, "stream_jobs"),
}
OF_OTHERS = Operation(Action.READ, "read")
"""Health checking and reflection, which tell nothing of jobs: for everybody who has a role."""


class Guard(grpc.aio.ServerInterceptor):
    """Serves methods to those who may use them."""

    def __init__(
        self, access: AccessControl, revocations: Revocations, metrics: ServerMetrics
    ) -> None:
        self._access = access
        self._metrics = metrics
        self._revocations = revocations

    @override
    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Found]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Found:
        """The method's handler, guarded; `None` for a method that there is not."""
        handler = await continuation(handler_call_details)
        return handler and self._guarded(handler, str(handler_call_details.method))

    def _guarded(self, handler: Handler, method: str) -> Handler:
        kind = ("stream" if handler.request_streaming else "unary") + "_"
        kind += "stream" if handler.response_streaming else "unary"
        behavior = getattr(handler, kind)
        wrap = self._stream if handler.response_streaming else self._answer
        make = getattr(grpc, f"{kind}_rpc_method_handler")
        guarded: Handler = make(
            wrap(behavior, method),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )
        return guarded

    def _answer(self, behavior: Behavior, method: str) -> Behavior:
        async def answer(request: Any, context: Context) -> Any:
            async with self._admitted(context, method):
                return await behavior(request, context)

        return answer

    def _stream(self, behavior: Behavior, method: str) -> Behavior:
        async def stream(request: Any, context: Context) -> None:
            async with self._admitted(context, method):
                with self._stream_slot():
                    await self._until_ended(_written(behavior(request, context), context))

        return stream

    @contextmanager
    def _stream_slot(self) -> Iterator[None]:
        """Count a stream of any service. Raises TooManyStreamsError."""
        principal = current_caller().principal
        give_back = self._access.traffic.begin_stream(principal, principal.origin.address)
        try:
            yield
        finally:
            give_back()

    @asynccontextmanager
    async def _admitted(self, context: Context, method: str) -> AsyncIterator[None]:
        begin_request(choose_request_id(_offered(context, "x-request-id")))
        begin_request_trace(_offered(context, "traceparent"))
        began, status = time.monotonic(), grpc.StatusCode.CANCELLED
        try:
            await self._admit(context, OPERATIONS.get(method, OF_OTHERS))
            yield
            status = grpc.StatusCode.OK
        except grpc.aio.AbortError:
            status = grpc.StatusCode.DEADLINE_EXCEEDED  # the only one that handlers abort with
            raise
        except Exception as error:  # noqa: BLE001 - told by `abort`
            status = status_of(error)
            await abort(context, error, method)
        finally:
            self._metrics.called(method, status.name, time.monotonic() - began)

    async def _admit(self, context: Context, operation: Operation) -> None:
        credentials = credentials_of(context)
        try:
            principal = await self._access.admit(credentials, operation.action)
        except ForbiddenError as error:
            raise ForbiddenError(
                f"role {role_of(credentials)} is not allowed to perform operation {operation.name}"
            ) from error
        set_caller(Caller(principal, subject_of(credentials.certificate or b"").serial))

    async def _until_ended(self, work: Awaitable[None]) -> None:
        """Work, unless the caller has to go before: also while nothing can be sent to them."""
        writing = asyncio.ensure_future(work)
        ending = asyncio.create_task(self._revocations.until_ended(current_caller().serial))
        tasks: list[asyncio.Future[Any]] = [writing, ending]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if not writing.done():
                raise ending.result()
            writing.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _written(answers: Any, context: Context) -> None:
    """Send what a handler yields, or let it send by itself."""
    if not inspect.isasyncgen(answers):
        await answers
        return
    try:
        async for answer in answers:
            try:
                await context.write(answer)
            except Exception:
                # What grpc raises where the client has gone is a class of its own internals.
                if not (context.cancelled() or context.done()):
                    raise
                logger.debug("the client disconnected before the end of its stream")
                return
    finally:
        await answers.aclose()


def _offered(context: Context, name: str) -> str | None:
    for key, value in context.invocation_metadata() or ():
        if key == name and isinstance(value, str):
            return value
    return None
