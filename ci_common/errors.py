"""The one exception tree.

RunnerError
├── BadRequestError                 the caller can mend it
│   ├── InvalidUploadError          not a form with one zip file in it
│   ├── UploadTooLargeError
│   ├── InvalidPackageError         the zip is not one we would unpack
│   ├── PackageRefusedError         the operator's scanner found something in it
│   ├── InvalidConfigError          the project's table of jobs is broken
│   ├── UnknownJobNameError         the table has no such job
│   ├── InvalidSecretError          a secret that cannot be given to a job, or masked
│   ├── UnknownSecretError          the tenant has no such secret
│   ├── SecretsNeededError          a job had secrets, which must be sent again
│   ├── InvalidQueryError           GraphQL that has no meaning here
│   ├── QueryTooComplexError        GraphQL that costs too much
│   ├── InvalidOffsetError          a log position that is not one
│   ├── InvalidSearchError          a text that cannot be searched for in a log
│   ├── InvalidEventCursorError     a position among job events that is not one
│   ├── AmbiguousJobIdError         the beginning of the ids of several jobs
│   └── RequestTimeoutError         the body came too slowly
├── UnauthenticatedError            nobody we know
│   ├── InvalidCredentialsError     credentials that prove nothing
│   └── SessionEndedError           a browser's session that is over
├── ForbiddenError                  known, but not allowed to
│   ├── NotLocalError               no identities: only for this machine
│   ├── CrossOriginError            the cookie of a session, used by another page
│   ├── QuotaExceededError          no room left for this tenant
│   ├── InvalidGrantError           a signed URL that we did not sign
│   └── GrantExpiredError           one that is too old
├── LimitReachedError               too much at once; later it may be fine
│   ├── RateLimitedError
│   ├── TooManyAttemptsError        failed to prove who they are
│   ├── TooManyStreamsError
│   ├── TooManyUploadsError
│   └── TooManyJobsError
├── JobNotFoundError
├── ArtifactNotFoundError
├── SessionNotFoundError            none of the caller's browser sessions
├── RunNotFoundError
├── RunNotCompletedError            it has no result, or none yet
├── RunEndedError                   too late to cancel a run
├── JobFinishedError                too late to cancel
├── JobStartedError                 too late to cancel without force
├── PackageGoneError                a job cannot be run again: its package is not kept
├── NotRerunnableError              a job cannot be run again: it belongs to a run
├── EventsGoneError                 events after a reader's cursor were removed
├── DiskFullError                   below the disk floor
├── LogCorruptError                 a stored log is damaged
│   └── LogMissingError             it is not stored any more
├── NotReadyError                   a part of the server is down
├── ScannerUnavailableError         the operator's scanner cannot look at packages
├── QueryTimeoutError               a GraphQL query took too long
├── GraphqlUnavailableError         the server was installed without GraphQL
├── StorageUnavailableError         what the server opened is gone, or read-only
│   ├── DatabaseUnavailableError
│   └── DataDirectoryUnavailableError
├── SettingsError                   environment variables that cannot be
├── UnknownLibraryError             a library in a version that cannot be used
├── DatabaseError                   the database cannot be used
├── BackupError                     a backup cannot be made, or used
├── IdentityError                   users and keys cannot be administered like this
│   ├── InvalidIdentityError        not an address, a name, a tenant
│   ├── UserExistsError
│   ├── UserNotFoundError
│   ├── LastUserError
│   └── KeyNotFoundError
├── SubscriptionError               webhooks cannot be administered like this
│   └── InvalidSubscriptionError
├── SecretKeyError                  the key that encrypts secrets cannot be used
├── LeaseLostError                  another controller has taken over
├── EngineUnavailableError          the container engine does not answer
│   ├── EngineDisturbedError        it answers, and starts no container, whichever
│   └── EngineFailingError          it fails at one job; that may pass
│       └── RegistryUnavailableError    an image's registry cannot be reached
├── FilesUnreadableError            the files a workload left cannot be had
└── JobError                        a job cannot go on; each carries the job's Reason
    ├── SetupFailedError
    ├── PackageCorruptError
    ├── ImageUnavailableError
    ├── LaunchFailedError
    ├── SecretsUnavailableError
    └── WorkloadLostError

Every class has a stable `code`; transports map codes to their own statuses. The docstring's
first line is the default message. Errors outside this tree are defects: the client is told
"internal error" and the log gets everything.
"""

from collections.abc import Iterable

from ci_common.job import Reason
from ci_common.job_events import NO_CURSOR, EventCursor

_QUOTED_CHARACTERS = 64


def quoted(value: str) -> str:
    """What somebody sent, of any length and content, for a message."""
    whole = len(value) <= _QUOTED_CHARACTERS
    return repr(value if whole else f"{value[:_QUOTED_CHARACTERS]}...")


def place_of(path: Iterable[str | int]) -> str:
    """Names and numbers that lead to a value in what somebody sent, for a message."""
    return ".".join(map(_step, path))


def _step(step: str | int) -> str:
    text = str(step)
    return text if text.isprintable() and len(text) <= _QUOTED_CHARACTERS else quoted(text)


class RunnerError(Exception):
    """Something went wrong in the runner."""

    code = "error"

    def __init__(self, message: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").partition("\n")[0])
        self.retry_after = retry_after
        """In how many seconds the same may succeed; `None` when nobody can say."""

    @property
    def message(self) -> str:
        """What happened, what it means, and what to do: for people."""
        return str(self)


class BadRequestError(RunnerError):
    """The request cannot be understood."""

    code = "bad_request"


class InvalidUploadError(BadRequestError):
    """The request must be a multipart form whose part `file` is a zip of the project."""

    code = "invalid_upload"


class UploadTooLargeError(BadRequestError):
    """The upload is larger than this server accepts."""

    code = "upload_too_large"


class InvalidPackageError(BadRequestError):
    """The uploaded file is not a zip archive this server would unpack."""

    code = "invalid_package"


class PackageRefusedError(BadRequestError):
    """The server's package scanner refused the upload."""

    code = "package_refused"


class InvalidConfigError(BadRequestError):
    """The project's table of jobs is broken."""

    code = "invalid_config"


class UnknownJobNameError(BadRequestError):
    """The project's table has no job of this name."""

    code = "unknown_job_name"


class InvalidSecretError(BadRequestError):
    """A secret cannot be used as it is."""

    code = "invalid_secret"


class UnknownSecretError(BadRequestError):
    """The tenant has no secret of this name."""

    code = "unknown_secret"


class SecretsNeededError(BadRequestError):
    """The job had secrets, whose values are not kept: send them again."""

    code = "secrets_needed"


class InvalidQueryError(BadRequestError):
    """The GraphQL query is not valid."""

    code = "invalid_query"


class QueryTooComplexError(BadRequestError):
    """The GraphQL query asks for too much at once."""

    code = "query_too_complex"


class InvalidOffsetError(BadRequestError):
    """A log offset is a whole number of bytes, from 0 to the size of the log."""

    code = "invalid_offset"


class InvalidSearchError(BadRequestError):
    """This text cannot be searched for."""

    code = "invalid_search"


class InvalidEventCursorError(BadRequestError):
    """That is not the id of an event of this stream: use one that the server sent, or none."""

    code = "invalid_cursor"


class AmbiguousJobIdError(BadRequestError):
    """Several jobs have ids that begin like this: give more characters of the id."""

    code = "ambiguous_job_id"


class RequestTimeoutError(BadRequestError):
    """The body of the request arrived too slowly, or stopped; send it again."""

    code = "request_timeout"


class UnauthenticatedError(RunnerError):
    """Authentication is required: send an API key or a token as `Authorization: Bearer ...`."""

    code = "unauthenticated"


class InvalidCredentialsError(UnauthenticatedError):
    """These credentials are not valid here: unknown, expired or revoked."""

    code = "invalid_credentials"


class SessionEndedError(UnauthenticatedError):
    """Your session has ended: sign in again."""

    code = "session_ended"


class ForbiddenError(RunnerError):
    """You are not allowed to do this."""

    code = "forbidden"


class NotLocalError(ForbiddenError):
    """This server has no users yet, so it accepts only programs on its own machine."""

    code = "not_local"


class CrossOriginError(ForbiddenError):
    """A web page of another origin sent this request with the cookie of a session."""

    code = "cross_origin"


class QuotaExceededError(ForbiddenError):
    """The tenant stores as much as it may; delete jobs, or ask an administrator for more."""

    code = "quota_exceeded"


class LimitReachedError(RunnerError):
    """A limit of this server is reached; try again later."""

    code = "limit_reached"


class RateLimitedError(LimitReachedError):
    """Too many requests; try again later."""

    code = "rate_limited"


class TooManyAttemptsError(LimitReachedError):
    """Too many credentials from this address were not valid; try again later."""

    code = "too_many_attempts"


class TooManyStreamsError(LimitReachedError):
    """Too many streams and downloads at once; end some, or try again later."""

    code = "too_many_streams"


class TooManyUploadsError(LimitReachedError):
    """Too many uploads at once; try again when one of them is done."""

    code = "too_many_uploads"


class TooManyJobsError(LimitReachedError):
    """Too many jobs are queued or running; try again when some have ended."""

    code = "too_many_jobs"


class JobNotFoundError(RunnerError):
    """There is no job with this id, or you may not see it."""

    code = "job_not_found"


class SessionNotFoundError(RunnerError):
    """You have no browser session with this id; it may have ended."""

    code = "session_not_found"


class RunNotFoundError(RunnerError):
    """There is no run with this id, or you may not see it."""

    code = "run_not_found"


class RunNotCompletedError(RunnerError):
    """Run not completed"""

    code = "run_not_completed"


class RunEndedError(RunnerError):
    """Run cannot be cancelled"""

    code = "run_not_cancellable"


class ArtifactNotFoundError(RunnerError):
    """The job has no such artifact."""

    code = "artifact_not_found"


class JobFinishedError(RunnerError):
    """The job has already finished, so it cannot be cancelled."""

    code = "job_finished"


class InvalidGrantError(ForbiddenError):
    """This signed URL was altered, or is not of this server, or its key was replaced. Ask for
    another.
    """

    code = "invalid_grant"


class GrantExpiredError(ForbiddenError):
    """This signed URL has expired. Ask for another."""

    code = "grant_expired"


class JobStartedError(RunnerError):
    """The job is under way. Cancel it with force=true, which stops it."""

    code = "job_started"


class PackageGoneError(RunnerError):
    """The job's package is not kept any more; submit the project again."""

    code = "package_gone"


class NotRerunnableError(RunnerError):
    """The job cannot be run again by itself."""

    code = "not_rerunnable"


class EventsGoneError(RunnerError):
    """Events after this cursor were removed: list the jobs again, then use the new cursor."""

    code = "events_gone"

    def __init__(
        self,
        message: str | None = None,
        retry_after: float | None = None,
        *,
        resume: EventCursor = NO_CURSOR,
    ) -> None:
        super().__init__(message, retry_after)
        self.resume = resume
        """Where to continue: all events after the old cursor that still exist follow, and the
        same removals are not reported again. After a restore: all events since the restore.
        """


class DiskFullError(RunnerError):
    """The server's disk is nearly full, so it accepts no uploads; free space and try again."""

    code = "disk_full"


class LogCorruptError(RunnerError):
    """A part of the stored log is damaged; the server's log tells where."""

    code = "log_corrupt"


class LogMissingError(LogCorruptError):
    """The job wrote a log, but its file is not on this server any more."""

    code = "log_missing"


class NotReadyError(RunnerError):
    """The server is not ready."""

    code = "not_ready"


class ScannerUnavailableError(RunnerError):
    """The package was not accepted: the server's package scanner did not work."""

    code = "scanner_unavailable"


class QueryTimeoutError(RunnerError):
    """The GraphQL query took too long; ask for less at once."""

    code = "query_timeout"


class GraphqlUnavailableError(RunnerError):
    """This server has no GraphQL; its operator can install it: pip install 'ci-runner[graphql]'."""

    code = "graphql_unavailable"


class StorageUnavailableError(RunnerError):
    """The server's files cannot be used now; the server's log says why and what to do."""

    code = "storage_unavailable"


class DatabaseUnavailableError(StorageUnavailableError):
    """The server's database cannot be written now; the server's log says why and what to do."""

    code = "database_unavailable"


class DataDirectoryUnavailableError(StorageUnavailableError):
    """The server's data directory is gone or read-only; the server's log says what to do."""

    code = "data_directory_unavailable"


class SettingsError(RunnerError):
    """The settings cannot be used."""

    code = "settings_error"


class UnknownLibraryError(RunnerError):
    """A library is installed in a version that the server cannot use."""

    code = "unknown_library"


class DatabaseError(RunnerError):
    """The database cannot be used."""

    code = "database_error"


class BackupError(RunnerError):
    """The backup cannot be made, or used."""

    code = "backup_error"


class IdentityError(RunnerError):
    """Users and keys cannot be administered like this."""

    code = "identity_error"


class InvalidIdentityError(IdentityError):
    """This cannot be a user, a tenant or the name of a key."""

    code = "invalid_identity"


class UserExistsError(IdentityError):
    """There is a user with this e-mail address already."""

    code = "user_exists"


class UserNotFoundError(IdentityError):
    """There is no user with this e-mail address."""

    code = "user_not_found"


class LastUserError(IdentityError):
    """The only user cannot be deleted."""

    code = "last_user"


class KeyNotFoundError(IdentityError):
    """There is no such API key."""

    code = "key_not_found"


class SecretKeyError(RunnerError):
    """The key that encrypts secrets cannot be used."""

    code = "secret_key_error"


class SubscriptionError(RunnerError):
    """Subscriptions and deliveries cannot be administered like this."""

    code = "subscription_error"


class InvalidSubscriptionError(SubscriptionError):
    """The subscription is not valid."""

    code = "invalid_subscription"


class LeaseLostError(RunnerError):
    """Another controller has taken over; this one must not act any more."""

    code = "lease_lost"


class EngineUnavailableError(RunnerError):
    """The container engine does not answer; jobs wait until it does."""

    code = "engine_unavailable"


class EngineDisturbedError(EngineUnavailableError):
    """The container engine answers, but starts no container; jobs wait until it does."""

    code = "engine_disturbed"


class EngineFailingError(EngineUnavailableError):
    """The container engine fails; jobs wait and try again."""

    code = "engine_failing"
    reason = Reason.LAUNCH_FAILED
    """Of a job that is given up because of it."""


class RegistryUnavailableError(EngineFailingError):
    """The registry of the container image cannot be reached."""

    code = "registry_unavailable"
    reason = Reason.IMAGE_UNAVAILABLE


class FilesUnreadableError(RunnerError):
    """The files that the job left cannot be read."""

    code = "files_unreadable"


class JobError(RunnerError):
    """The job cannot go on."""

    code = "job_error"
    reason = Reason.INTERNAL


class SetupFailedError(JobError):
    """The project's requirements could not be installed; the end of the log tells why."""

    code = "setup_failed"
    reason = Reason.SETUP_FAILED


class PackageCorruptError(JobError):
    """The stored upload is gone or damaged; submit the project again."""

    code = "package_corrupt"
    reason = Reason.PACKAGE_CORRUPT


class ImageUnavailableError(JobError):
    """The container image is not on the engine and could not be pulled."""

    code = "image_unavailable"
    reason = Reason.IMAGE_UNAVAILABLE


class LaunchFailedError(JobError):
    """The container engine refused to make or start the container."""

    code = "launch_failed"
    reason = Reason.LAUNCH_FAILED


class SecretsUnavailableError(JobError):
    """The job's secrets are not on this server any more; submit the job again."""

    code = "secrets_unavailable"
    reason = Reason.SECRETS_UNAVAILABLE


class WorkloadLostError(JobError):
    """The job's workload vanished without leaving an exit code."""

    code = "workload_lost"
    reason = Reason.LOST
