"""The schema, as numbered steps forward. A released step is never edited."""

import sqlite3
from collections.abc import Iterator

MIGRATIONS: tuple[str, ...] = (
    # 1: jobs, the controller's lease, and what names this instance.
    """
    CREATE TABLE jobs (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        job_id TEXT NOT NULL UNIQUE,
        tenant TEXT NOT NULL,
        user TEXT NOT NULL,
        spec TEXT NOT NULL,
        package_sha256 TEXT NOT NULL,
        package_size INTEGER NOT NULL,
        status TEXT NOT NULL,
        created_at TEXT NOT NULL,
        started_at TEXT,
        ended_at TEXT,
        cancel_requested_at TEXT,
        reason TEXT,
        message TEXT,
        exit_code INTEGER,
        log_size INTEGER
    );
    CREATE INDEX jobs_active ON jobs (seq)
        WHERE status IN ('queued', 'initializing', 'running');
    CREATE INDEX jobs_of_tenant ON jobs (tenant, seq);
    CREATE INDEX jobs_of_tenant_by_status ON jobs (tenant, status, seq);
    CREATE TABLE controller_lease (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        holder TEXT,
        expires_at TEXT,
        heartbeat_at TEXT,
        engine_error TEXT
    );
    INSERT INTO controller_lease (id) VALUES (1);
    CREATE TABLE instance (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        instance_id TEXT NOT NULL
    );
    INSERT INTO instance (id, instance_id) VALUES (1, lower(hex(randomblob(16))));
    """,
    # 2: the queue's order, retries, artifacts, test reports, and what retention asks for.
    """
    ALTER TABLE jobs ADD COLUMN priority INTEGER NOT NULL DEFAULT 5;
    ALTER TABLE jobs ADD COLUMN attempt INTEGER NOT NULL DEFAULT 1;
    ALTER TABLE jobs ADD COLUMN log_dropped INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE jobs ADD COLUMN artifacts_size INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE jobs ADD COLUMN tests TEXT;
    ALTER TABLE controller_lease ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX jobs_ended ON jobs (ended_at) WHERE ended_at IS NOT NULL;
    CREATE TABLE artifacts (
        job_id TEXT NOT NULL REFERENCES jobs (job_id) ON DELETE CASCADE,
        path TEXT NOT NULL,
        size INTEGER NOT NULL,
        sha256 TEXT NOT NULL,
        PRIMARY KEY (job_id, path)
    ) WITHOUT ROWID;
    """,
    # 3: what retention needs: the oldest first, and totals that nobody has to add up.
    """
    ALTER TABLE jobs ADD COLUMN log_stored INTEGER;
    CREATE INDEX jobs_uncompressed ON jobs (ended_at)
        WHERE ended_at IS NOT NULL AND log_stored IS NULL;
    CREATE INDEX jobs_with_artifacts ON jobs (ended_at) WHERE artifacts_size > 0;
    CREATE TABLE finished_totals (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        jobs INTEGER NOT NULL,
        stored_bytes INTEGER NOT NULL
    );
    INSERT INTO finished_totals (id, jobs, stored_bytes)
        SELECT 1, count(*), coalesce(sum(coalesce(log_size, 0) + artifacts_size), 0)
        FROM jobs WHERE ended_at IS NOT NULL;
    CREATE TRIGGER finished_job_added AFTER INSERT ON jobs WHEN NEW.ended_at IS NOT NULL BEGIN
        UPDATE finished_totals SET jobs = jobs + 1, stored_bytes = stored_bytes
            + coalesce(NEW.log_stored, NEW.log_size, 0) + NEW.artifacts_size;
    END;
    CREATE TRIGGER finished_job_removed AFTER DELETE ON jobs WHEN OLD.ended_at IS NOT NULL BEGIN
        UPDATE finished_totals SET jobs = jobs - 1, stored_bytes = stored_bytes
            - coalesce(OLD.log_stored, OLD.log_size, 0) - OLD.artifacts_size;
    END;
    CREATE TRIGGER finished_job_changed
    AFTER UPDATE OF ended_at, log_size, log_stored, artifacts_size ON jobs BEGIN
        UPDATE finished_totals SET
            jobs = jobs + (NEW.ended_at IS NOT NULL) - (OLD.ended_at IS NOT NULL),
            stored_bytes = stored_bytes
                + (NEW.ended_at IS NOT NULL)
                * (coalesce(NEW.log_stored, NEW.log_size, 0) + NEW.artifacts_size)
                - (OLD.ended_at IS NOT NULL)
                * (coalesce(OLD.log_stored, OLD.log_size, 0) + OLD.artifacts_size);
    END;
    CREATE TABLE file_deletions (
        job_id TEXT PRIMARY KEY,
        artifacts_only INTEGER NOT NULL
    ) WITHOUT ROWID;
    """,
    # 4: users and their API keys, of which only hashes are kept; lists of one user's jobs.
    """
    CREATE TABLE users (
        email TEXT PRIMARY KEY COLLATE NOCASE,
        tenant TEXT NOT NULL,
        name TEXT NOT NULL,
        created_at TEXT NOT NULL
    );
    CREATE TABLE api_keys (
        key_id TEXT PRIMARY KEY,
        sha256 TEXT NOT NULL UNIQUE,
        prefix TEXT NOT NULL,
        name TEXT NOT NULL,
        email TEXT NOT NULL REFERENCES users (email),
        role TEXT NOT NULL,
        created_at TEXT NOT NULL,
        expires_at TEXT,
        last_used_at TEXT,
        revoked_at TEXT
    );
    CREATE INDEX jobs_of_user ON jobs (tenant, user, seq);
    """,
    # 5: what limits count: live jobs of a user, and what a tenant stores.
    """
    CREATE INDEX jobs_live_of_user ON jobs (tenant, user, status)
        WHERE status IN ('queued', 'initializing', 'running');
    CREATE TABLE tenant_totals (
        tenant TEXT PRIMARY KEY,
        finished_jobs INTEGER NOT NULL DEFAULT 0,
        package_bytes INTEGER NOT NULL DEFAULT 0,
        log_bytes INTEGER NOT NULL DEFAULT 0,
        artifact_bytes INTEGER NOT NULL DEFAULT 0
    ) WITHOUT ROWID;
    INSERT INTO tenant_totals
        SELECT tenant, sum(ended_at IS NOT NULL), sum((ended_at IS NULL) * package_size),
            sum((ended_at IS NOT NULL) * coalesce(log_stored, log_size, 0)), sum(artifacts_size)
        FROM jobs GROUP BY tenant;
    CREATE TRIGGER tenant_job_added AFTER INSERT ON jobs BEGIN
        INSERT INTO tenant_totals (tenant) VALUES (NEW.tenant) ON CONFLICT DO NOTHING;
        UPDATE tenant_totals SET
            finished_jobs = finished_jobs + (NEW.ended_at IS NOT NULL),
            package_bytes = package_bytes + (NEW.ended_at IS NULL) * NEW.package_size,
            log_bytes = log_bytes
                + (NEW.ended_at IS NOT NULL) * coalesce(NEW.log_stored, NEW.log_size, 0),
            artifact_bytes = artifact_bytes + NEW.artifacts_size
            WHERE tenant = NEW.tenant;
    END;
    CREATE TRIGGER tenant_job_removed AFTER DELETE ON jobs BEGIN
        UPDATE tenant_totals SET
            finished_jobs = finished_jobs - (OLD.ended_at IS NOT NULL),
            package_bytes = package_bytes - (OLD.ended_at IS NULL) * OLD.package_size,
            log_bytes = log_bytes
                - (OLD.ended_at IS NOT NULL) * coalesce(OLD.log_stored, OLD.log_size, 0),
            artifact_bytes = artifact_bytes - OLD.artifacts_size
            WHERE tenant = OLD.tenant;
    END;
    CREATE TRIGGER tenant_job_changed
    AFTER UPDATE OF ended_at, log_size, log_stored, artifacts_size, package_size ON jobs BEGIN
        UPDATE tenant_totals SET
            finished_jobs = finished_jobs
                + (NEW.ended_at IS NOT NULL) - (OLD.ended_at IS NOT NULL),
            package_bytes = package_bytes + (NEW.ended_at IS NULL) * NEW.package_size
                - (OLD.ended_at IS NULL) * OLD.package_size,
            log_bytes = log_bytes
                + (NEW.ended_at IS NOT NULL) * coalesce(NEW.log_stored, NEW.log_size, 0)
                - (OLD.ended_at IS NOT NULL) * coalesce(OLD.log_stored, OLD.log_size, 0),
            artifact_bytes = artifact_bytes + NEW.artifacts_size - OLD.artifacts_size
            WHERE tenant = NEW.tenant;
    END;
    """,
    # 6: what tenants keep here for their jobs, encrypted.
    """
    CREATE TABLE tenant_secrets (
        tenant TEXT NOT NULL,
        name TEXT NOT NULL,
        value BLOB NOT NULL,
        changed_at TEXT NOT NULL,
        PRIMARY KEY (tenant, name)
    ) WITHOUT ROWID;
    """,
    # 7: the audit log, which only grows, but for what is older than the operator keeps.
    """
    CREATE TABLE audit (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        at TEXT NOT NULL,
        action TEXT NOT NULL,
        outcome TEXT NOT NULL CHECK (outcome IN ('allowed', 'denied')),
        tenant TEXT,
        user TEXT,
        role TEXT,
        credential TEXT,
        job_id TEXT,
        target TEXT,
        address TEXT,
        request_id TEXT,
        detail TEXT
    );
    CREATE INDEX audit_at ON audit (at);
    CREATE INDEX audit_of_job ON audit (job_id, id) WHERE job_id IS NOT NULL;
    CREATE INDEX audit_of_user ON audit (user, id) WHERE user IS NOT NULL;
    CREATE TABLE audit_retention (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        keep_from TEXT
    );
    INSERT INTO audit_retention (id) VALUES (1);
    CREATE TRIGGER audit_is_never_replaced BEFORE INSERT ON audit
    WHEN EXISTS (SELECT 1 FROM audit WHERE id = NEW.id) BEGIN
        SELECT RAISE(ABORT, 'entries of the audit log are never changed');
    END;
    CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit BEGIN
        SELECT RAISE(ABORT, 'entries of the audit log are never changed');
    END;
    CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit
    WHEN OLD.at >= coalesce((SELECT keep_from FROM audit_retention), '') BEGIN
        SELECT RAISE(ABORT, 'entries of the audit log are kept');
    END;
    CREATE TRIGGER audit_of_today_is_kept BEFORE UPDATE ON audit_retention
    WHEN NEW.keep_from > strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-1 day') BEGIN
        SELECT RAISE(ABORT, 'the last day of the audit log is always kept');
    END;
    """,
    # 8: where the files are that belong to these rows.
    """
    ALTER TABLE instance ADD COLUMN data_path TEXT;
    """,
    # 9: job events, written by triggers, so that no change of a row can be without its event, not
    # even one made by a restore or an admin command. Existing jobs get theirs here.
    """
    CREATE TABLE job_events (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        job_id TEXT NOT NULL,
        tenant TEXT NOT NULL,
        user TEXT NOT NULL,
        kind TEXT NOT NULL,
        at TEXT NOT NULL,
        facts TEXT NOT NULL
    );
    CREATE INDEX job_events_of_job ON job_events (job_id, seq);
    CREATE INDEX job_events_of_tenant ON job_events (tenant, seq);
    CREATE INDEX job_events_deleted ON job_events (seq) WHERE kind = 'deleted';
    CREATE TABLE event_stream (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        stream TEXT NOT NULL,
        first_seq INTEGER NOT NULL DEFAULT 0,
        gone_seq INTEGER NOT NULL DEFAULT 0,
        gone_at INTEGER NOT NULL DEFAULT 0
    );
    INSERT INTO event_stream (id, stream) VALUES (1, lower(hex(randomblob(8))));
    INSERT INTO job_events (job_id, tenant, user, kind, at, facts)
        SELECT job_id, tenant, user, kind, at, facts FROM (
            SELECT created_at AS at, 1 AS step, seq, job_id, tenant, user, 'submitted' AS kind,
                json_object('name', json_extract(spec, '$.name'), 'priority', priority)
                    AS facts
                FROM jobs
            UNION ALL SELECT started_at, 2, seq, job_id, tenant, user, 'started',
                json_object('attempt', attempt) FROM jobs WHERE started_at IS NOT NULL
            UNION ALL SELECT cancel_requested_at, 3, seq, job_id, tenant, user, 'cancel_requested',
                json_object() FROM jobs WHERE cancel_requested_at IS NOT NULL
            UNION ALL SELECT ended_at, 4, seq, job_id, tenant, user, 'finished',
                json_object('status', status, 'reason', reason, 'message', message,
                    'exit_code', exit_code, 'attempt', attempt, 'log_size', log_size,
                    'artifacts_size', artifacts_size, 'tests', json(CASE WHEN tests IS NOT NULL
                        THEN json_object('total', json_extract(tests, '$.total'),
                            'passed', json_extract(tests, '$.passed'),
                            'failed', json_extract(tests, '$.failed'),
                            'errors', json_extract(tests, '$.errors'),
                            'skipped', json_extract(tests, '$.skipped'),
                            'seconds', json_extract(tests, '$.seconds')) END))
                FROM jobs WHERE ended_at IS NOT NULL
        ) ORDER BY at, seq, step;
    CREATE TRIGGER job_event_submitted AFTER INSERT ON jobs BEGIN
        INSERT INTO job_events (job_id, tenant, user, kind, at, facts)
            VALUES (NEW.job_id, NEW.tenant, NEW.user, 'submitted', NEW.created_at,
                json_object('name', json_extract(NEW.spec, '$.name'), 'priority', NEW.priority));
    END;
    CREATE TRIGGER job_event_claimed AFTER UPDATE OF status ON jobs
    WHEN OLD.status = 'queued' AND NEW.status = 'initializing' BEGIN
        INSERT INTO job_events (job_id, tenant, user, kind, at, facts)
            VALUES (NEW.job_id, NEW.tenant, NEW.user, 'claimed',
                strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), json_object('attempt', NEW.attempt));
    END;
    CREATE TRIGGER job_event_started AFTER UPDATE OF status ON jobs
    WHEN OLD.status != 'running' AND NEW.status = 'running' BEGIN
        INSERT INTO job_events (job_id, tenant, user, kind, at, facts)
            VALUES (NEW.job_id, NEW.tenant, NEW.user, 'started',
                coalesce(NEW.started_at, strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
                json_object('attempt', NEW.attempt));
    END;
    CREATE TRIGGER job_event_cancel_requested AFTER UPDATE OF cancel_requested_at ON jobs
    WHEN OLD.cancel_requested_at IS NULL AND NEW.cancel_requested_at IS NOT NULL BEGIN
        INSERT INTO job_events (job_id, tenant, user, kind, at, facts)
            VALUES (NEW.job_id, NEW.tenant, NEW.user, 'cancel_requested',
                NEW.cancel_requested_at, json_object());
    END;
    CREATE TRIGGER job_event_retried AFTER UPDATE OF attempt ON jobs
    WHEN NEW.attempt > OLD.attempt BEGIN
        INSERT INTO job_events (job_id, tenant, user, kind, at, facts)
            VALUES (NEW.job_id, NEW.tenant, NEW.user, 'retried',
                strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), json_object('attempt', NEW.attempt));
    END;
    CREATE TRIGGER job_event_finished AFTER UPDATE OF status ON jobs
    WHEN OLD.status IN ('queued', 'initializing', 'running')
    AND NEW.status NOT IN ('queued', 'initializing', 'running') BEGIN
        INSERT INTO job_events (job_id, tenant, user, kind, at, facts)
            VALUES (NEW.job_id, NEW.tenant, NEW.user, 'finished',
                coalesce(NEW.ended_at, strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
                json_object('status', NEW.status, 'reason', NEW.reason, 'message', NEW.message,
                    'exit_code', NEW.exit_code, 'attempt', NEW.attempt, 'log_size', NEW.log_size,
                    'artifacts_size', NEW.artifacts_size, 'tests', json(CASE
                        WHEN NEW.tests IS NOT NULL
                        THEN json_object('total', json_extract(NEW.tests, '$.total'),
                            'passed', json_extract(NEW.tests, '$.passed'),
                            'failed', json_extract(NEW.tests, '$.failed'),
                            'errors', json_extract(NEW.tests, '$.errors'),
                            'skipped', json_extract(NEW.tests, '$.skipped'),
                            'seconds', json_extract(NEW.tests, '$.seconds')) END)));
    END;
    CREATE TRIGGER job_event_deleted AFTER DELETE ON jobs BEGIN
        INSERT INTO job_events (job_id, tenant, user, kind, at, facts)
            VALUES (OLD.job_id, OLD.tenant, OLD.user, 'deleted',
                strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), json_object('last_seq',
                    (SELECT max(seq) FROM job_events WHERE job_id = OLD.job_id)));
        DELETE FROM job_events WHERE job_id = OLD.job_id AND kind != 'deleted';
    END;
    CREATE TRIGGER job_event_progress_replaced AFTER INSERT ON job_events
    WHEN NEW.kind = 'progress' BEGIN
        DELETE FROM job_events
            WHERE job_id = NEW.job_id AND kind = 'progress' AND seq < NEW.seq;
    END;
    """,
    # 10: jobs without a package. A column loses its NOT NULL only by being replaced.
    """
    DROP TRIGGER tenant_job_added;
    DROP TRIGGER tenant_job_removed;
    DROP TRIGGER tenant_job_changed;
    ALTER TABLE jobs ADD COLUMN nullable_sha256 TEXT;
    ALTER TABLE jobs ADD COLUMN nullable_size INTEGER;
    UPDATE jobs SET nullable_sha256 = package_sha256, nullable_size = package_size;
    ALTER TABLE jobs DROP COLUMN package_sha256;
    ALTER TABLE jobs DROP COLUMN package_size;
    ALTER TABLE jobs RENAME COLUMN nullable_sha256 TO package_sha256;
    ALTER TABLE jobs RENAME COLUMN nullable_size TO package_size;
    CREATE TRIGGER tenant_job_added AFTER INSERT ON jobs BEGIN
        INSERT INTO tenant_totals (tenant) VALUES (NEW.tenant) ON CONFLICT DO NOTHING;
        UPDATE tenant_totals SET
            finished_jobs = finished_jobs + (NEW.ended_at IS NOT NULL),
            package_bytes = package_bytes
                + (NEW.ended_at IS NULL) * coalesce(NEW.package_size, 0),
            log_bytes = log_bytes
                + (NEW.ended_at IS NOT NULL) * coalesce(NEW.log_stored, NEW.log_size, 0),
            artifact_bytes = artifact_bytes + NEW.artifacts_size
            WHERE tenant = NEW.tenant;
    END;
    CREATE TRIGGER tenant_job_removed AFTER DELETE ON jobs BEGIN
        UPDATE tenant_totals SET
            finished_jobs = finished_jobs - (OLD.ended_at IS NOT NULL),
            package_bytes = package_bytes
                - (OLD.ended_at IS NULL) * coalesce(OLD.package_size, 0),
            log_bytes = log_bytes
                - (OLD.ended_at IS NOT NULL) * coalesce(OLD.log_stored, OLD.log_size, 0),
            artifact_bytes = artifact_bytes - OLD.artifacts_size
            WHERE tenant = OLD.tenant;
    END;
    CREATE TRIGGER tenant_job_changed
    AFTER UPDATE OF ended_at, log_size, log_stored, artifacts_size, package_size ON jobs BEGIN
        UPDATE tenant_totals SET
            finished_jobs = finished_jobs
                + (NEW.ended_at IS NOT NULL) - (OLD.ended_at IS NOT NULL),
            package_bytes = package_bytes
                + (NEW.ended_at IS NULL) * coalesce(NEW.package_size, 0)
                - (OLD.ended_at IS NULL) * coalesce(OLD.package_size, 0),
            log_bytes = log_bytes
                + (NEW.ended_at IS NOT NULL) * coalesce(NEW.log_stored, NEW.log_size, 0)
                - (OLD.ended_at IS NOT NULL) * coalesce(OLD.log_stored, OLD.log_size, 0),
            artifact_bytes = artifact_bytes + NEW.artifacts_size - OLD.artifacts_size
            WHERE tenant = NEW.tenant;
    END;
    """,
    # 11: which interface a job came through; some have a retention of their own.
    """
    ALTER TABLE jobs ADD COLUMN door TEXT NOT NULL DEFAULT 'native';
    CREATE INDEX jobs_of_door ON jobs (door, ended_at) WHERE door != 'native';
    CREATE INDEX jobs_of_door_of_tenant ON jobs (door, tenant, seq) WHERE door != 'native';
    """,
    # 12: what coverage reports say; when a job wrote each artifact, in seconds since 1970, NULL for
    # those from before.
    """
    ALTER TABLE jobs ADD COLUMN coverage TEXT;
    ALTER TABLE artifacts ADD COLUMN modified INTEGER;
    """,
    # 13: runs. Each has a job, whose row says where it stands.
    """
    CREATE TABLE runs (
        run_id TEXT PRIMARY KEY,
        job_id TEXT NOT NULL UNIQUE REFERENCES jobs (job_id) ON DELETE CASCADE,
        user_email TEXT NOT NULL,
        config TEXT NOT NULL,
        control_strategy_effective TEXT,
        control_cells_available INTEGER
    );
    """,
    # 14: the metadata catalogue, as imported: groups of cells, and synonyms. Totals, names and the
    # index of their words are derived from these two with every import. The columns of keys come
    # first, in the order of the key: quick_check of SQLite 3.40 finds damage where they do not.
    """
    CREATE TABLE catalogue_cells (
        perturbation_name TEXT NOT NULL,
        cell_type_name TEXT NOT NULL,
        perturbation_type TEXT NOT NULL,
        cell_type_cl_id TEXT NOT NULL,
        dataset TEXT NOT NULL,
        is_control INTEGER NOT NULL,
        tissue TEXT NOT NULL,
        donor TEXT NOT NULL,
        condition TEXT NOT NULL,
        disease TEXT NOT NULL,
        count INTEGER NOT NULL,
        PRIMARY KEY (perturbation_name, cell_type_name, perturbation_type, cell_type_cl_id, dataset,
            is_control, tissue, donor, condition, disease)
    ) WITHOUT ROWID;
    CREATE TABLE catalogue_synonyms (
        entity_type TEXT NOT NULL CHECK (entity_type IN ('cell_type', 'perturbation')),
        canonical_name TEXT NOT NULL,
        synonym TEXT NOT NULL,
        PRIMARY KEY (entity_type, canonical_name, synonym)
    ) WITHOUT ROWID;
    CREATE TABLE catalogue_totals (
        perturbation_name TEXT NOT NULL,
        cell_type_name TEXT NOT NULL,
        perturbation_type TEXT NOT NULL,
        cell_type_cl_id TEXT NOT NULL,
        dataset TEXT NOT NULL,
        is_control INTEGER NOT NULL,
        cells INTEGER NOT NULL,
        PRIMARY KEY (perturbation_name, cell_type_name, perturbation_type, cell_type_cl_id, dataset,
            is_control)
    ) WITHOUT ROWID;
    CREATE INDEX catalogue_totals_of_dataset ON catalogue_totals (dataset);
    CREATE INDEX catalogue_totals_of_controls ON catalogue_totals (perturbation_name)
        WHERE is_control;
    CREATE TABLE catalogue_names (
        id INTEGER PRIMARY KEY,
        first_word TEXT NOT NULL,
        words TEXT NOT NULL,
        entity_type TEXT NOT NULL,
        canonical_name TEXT NOT NULL,
        is_synonym INTEGER NOT NULL,
        folded TEXT NOT NULL
    );
    CREATE INDEX catalogue_names_by_word ON catalogue_names (first_word);
    CREATE INDEX catalogue_names_folded ON catalogue_names (folded) WHERE NOT is_synonym;
    CREATE VIRTUAL TABLE catalogue_index
        USING fts5 (words, content = 'catalogue_names', content_rowid = 'id');
    """,
    # 15: who may read a job. Jobs from before are for those who could read them then: their
    # submitters, viewers and admins. Events say it, too: of a deleted job nothing else can. And
    # when a user was disabled.
    """
    ALTER TABLE jobs ADD COLUMN visibility TEXT NOT NULL DEFAULT 'viewers'
        CHECK (visibility IN ('tenant', 'viewers', 'private'));
    CREATE INDEX jobs_of_visibility ON jobs (tenant, visibility, seq);
    CREATE INDEX jobs_of_visibility_by_status ON jobs (tenant, visibility, status, seq);
    CREATE INDEX jobs_not_for_all_of_user ON jobs (tenant, user, seq)
        WHERE visibility != 'tenant';
    ALTER TABLE job_events ADD COLUMN visibility TEXT NOT NULL DEFAULT 'viewers';
    CREATE TRIGGER job_event_visibility AFTER INSERT ON job_events WHEN NEW.kind != 'deleted' BEGIN
        UPDATE job_events SET visibility = jobs.visibility FROM jobs
            WHERE job_events.seq = NEW.seq AND jobs.job_id = NEW.job_id
            AND jobs.visibility != NEW.visibility;
    END;
    DROP TRIGGER job_event_deleted;
    CREATE TRIGGER job_event_deleted AFTER DELETE ON jobs BEGIN
        INSERT INTO job_events (job_id, tenant, user, kind, at, facts, visibility)
            VALUES (OLD.job_id, OLD.tenant, OLD.user, 'deleted',
                strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), json_object('last_seq',
                    (SELECT max(seq) FROM job_events WHERE job_id = OLD.job_id)), OLD.visibility);
        DELETE FROM job_events WHERE job_id = OLD.job_id AND kind != 'deleted';
    END;
    ALTER TABLE users ADD COLUMN disabled_at TEXT;
    """,
    # 16: what lists of jobs are filtered by. Their index has it all, in the order of the lists, so
    # that a filter that fits few jobs reads no other row. Labels and texts are written by triggers,
    # so that no job is without; the text is what people search in, ASCII letters in lower case.
    """
    ALTER TABLE jobs ADD COLUMN name TEXT NOT NULL DEFAULT 'test';
    UPDATE jobs SET name = json_extract(spec, '$.name')
        WHERE json_extract(spec, '$.name') IS NOT NULL;
    CREATE INDEX jobs_listed ON jobs (seq, tenant, user, visibility, name, status, exit_code,
        reason, created_at, started_at, ended_at, cancel_requested_at, door);
    CREATE TABLE job_labels (
        key TEXT NOT NULL,
        value TEXT NOT NULL,
        seq INTEGER NOT NULL,
        tenant TEXT NOT NULL,
        PRIMARY KEY (key, value, seq)
    ) WITHOUT ROWID;
    CREATE TABLE job_texts (
        seq INTEGER PRIMARY KEY,
        text TEXT NOT NULL
    );
    INSERT INTO job_texts
        SELECT seq, lower(name || char(10) || user || char(10)
            || coalesce(json_extract(spec, '$.title') || char(10), '')
            || coalesce((SELECT group_concat(value, ' ') FROM json_each(spec, '$.command')), '')
            || coalesce(char(10) || message, ''))
        FROM jobs;
    CREATE TRIGGER job_found_by AFTER INSERT ON jobs BEGIN
        INSERT INTO job_labels
            SELECT key, value, NEW.seq, NEW.tenant FROM json_each(NEW.spec, '$.labels');
        INSERT INTO job_texts VALUES (NEW.seq, lower(NEW.name || char(10) || NEW.user || char(10)
            || coalesce(json_extract(NEW.spec, '$.title') || char(10), '')
            || coalesce((SELECT group_concat(value, ' ') FROM json_each(NEW.spec, '$.command')), '')
            || coalesce((SELECT group_concat(char(10) || key || ':' || value, '')
                FROM json_each(NEW.spec, '$.labels')), '')
            || coalesce(char(10) || NEW.message, '')));
    END;
    CREATE TRIGGER job_found_by_message AFTER UPDATE OF status ON jobs
    WHEN NEW.message IS NOT NULL AND OLD.status IN ('queued', 'initializing', 'running')
    AND NEW.status NOT IN ('queued', 'initializing', 'running') BEGIN
        UPDATE job_texts SET text = text || char(10) || lower(NEW.message) WHERE seq = NEW.seq;
    END;
    CREATE TRIGGER job_found_by_user AFTER UPDATE OF user ON jobs WHEN NEW.user != OLD.user BEGIN
        UPDATE job_texts SET text = lower(NEW.name || char(10) || NEW.user)
            || substr(text, length(OLD.name || char(10) || OLD.user) + 1) WHERE seq = NEW.seq;
    END;
    CREATE TRIGGER job_found_no_more AFTER DELETE ON jobs BEGIN
        DELETE FROM job_labels WHERE (key, value, seq) IN (
            SELECT key, value, OLD.seq FROM json_each(OLD.spec, '$.labels'));
        DELETE FROM job_texts WHERE seq = OLD.seq;
    END;
    """,
    # 17: packages that are kept after their jobs' ends, and jobs that repeat another one. What is
    # dropped is noted by triggers, so that its file is known until it is gone.
    """
    ALTER TABLE jobs ADD COLUMN rerun_of TEXT;
    ALTER TABLE jobs ADD COLUMN package_kept INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX jobs_with_kept_package ON jobs (ended_at) WHERE package_kept = 1;
    CREATE INDEX jobs_with_kept_package_of_tenant ON jobs (tenant, ended_at)
        WHERE package_kept = 1;
    CREATE TABLE package_deletions (
        job_id TEXT PRIMARY KEY
    ) WITHOUT ROWID;
    CREATE TRIGGER kept_package_dropped AFTER UPDATE OF package_kept ON jobs
    WHEN OLD.package_kept = 1 AND NEW.package_kept = 0 BEGIN
        INSERT INTO package_deletions VALUES (NEW.job_id) ON CONFLICT DO NOTHING;
    END;
    CREATE TRIGGER kept_package_orphaned AFTER DELETE ON jobs WHEN OLD.package_kept = 1 BEGIN
        INSERT INTO package_deletions VALUES (OLD.job_id) ON CONFLICT DO NOTHING;
    END;
    ALTER TABLE tenant_totals ADD COLUMN kept_package_bytes INTEGER NOT NULL DEFAULT 0;
    DROP TRIGGER tenant_job_added;
    DROP TRIGGER tenant_job_removed;
    DROP TRIGGER tenant_job_changed;
    CREATE TRIGGER tenant_job_added AFTER INSERT ON jobs BEGIN
        INSERT INTO tenant_totals (tenant) VALUES (NEW.tenant) ON CONFLICT DO NOTHING;
        UPDATE tenant_totals SET
            finished_jobs = finished_jobs + (NEW.ended_at IS NOT NULL),
            package_bytes = package_bytes
                + (NEW.ended_at IS NULL OR NEW.package_kept) * coalesce(NEW.package_size, 0),
            kept_package_bytes = kept_package_bytes
                + NEW.package_kept * coalesce(NEW.package_size, 0),
            log_bytes = log_bytes
                + (NEW.ended_at IS NOT NULL) * coalesce(NEW.log_stored, NEW.log_size, 0),
            artifact_bytes = artifact_bytes + NEW.artifacts_size
            WHERE tenant = NEW.tenant;
    END;
    CREATE TRIGGER tenant_job_removed AFTER DELETE ON jobs BEGIN
        UPDATE tenant_totals SET
            finished_jobs = finished_jobs - (OLD.ended_at IS NOT NULL),
            package_bytes = package_bytes
                - (OLD.ended_at IS NULL OR OLD.package_kept) * coalesce(OLD.package_size, 0),
            kept_package_bytes = kept_package_bytes
                - OLD.package_kept * coalesce(OLD.package_size, 0),
            log_bytes = log_bytes
                - (OLD.ended_at IS NOT NULL) * coalesce(OLD.log_stored, OLD.log_size, 0),
            artifact_bytes = artifact_bytes - OLD.artifacts_size
            WHERE tenant = OLD.tenant;
    END;
    CREATE TRIGGER tenant_job_changed
    AFTER UPDATE OF ended_at, log_size, log_stored, artifacts_size, package_size, package_kept
    ON jobs BEGIN
        UPDATE tenant_totals SET
            finished_jobs = finished_jobs
                + (NEW.ended_at IS NOT NULL) - (OLD.ended_at IS NOT NULL),
            package_bytes = package_bytes
                + (NEW.ended_at IS NULL OR NEW.package_kept) * coalesce(NEW.package_size, 0)
                - (OLD.ended_at IS NULL OR OLD.package_kept) * coalesce(OLD.package_size, 0),
            kept_package_bytes = kept_package_bytes
                + NEW.package_kept * coalesce(NEW.package_size, 0)
                - OLD.package_kept * coalesce(OLD.package_size, 0),
            log_bytes = log_bytes
                + (NEW.ended_at IS NOT NULL) * coalesce(NEW.log_stored, NEW.log_size, 0)
                - (OLD.ended_at IS NOT NULL) * coalesce(OLD.log_stored, OLD.log_size, 0),
            artifact_bytes = artifact_bytes + NEW.artifacts_size - OLD.artifacts_size
            WHERE tenant = NEW.tenant;
    END;
    """,
    # 18: what the launch of an initializing job takes time for, as its controller says.
    """
    ALTER TABLE jobs ADD COLUMN launch_step TEXT;
    """,
    # 19: who is told of job events, and the messages to deliver. The cursor begins after what has
    # happened before. A deleted job leaves no message but those that are still to be delivered.
    """
    CREATE TABLE subscriptions (
        id TEXT PRIMARY KEY,
        tenant TEXT NOT NULL,
        channel TEXT NOT NULL,
        address TEXT NOT NULL,
        kinds TEXT NOT NULL,
        private INTEGER NOT NULL,
        only_failures INTEGER NOT NULL,
        after_seq INTEGER NOT NULL,
        disabled TEXT,
        created_at TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE signing_keys (
        tenant TEXT NOT NULL,
        owner TEXT NOT NULL,
        key BLOB NOT NULL,
        old_key BLOB,
        old_until TEXT,
        PRIMARY KEY (tenant, owner)
    ) WITHOUT ROWID;
    CREATE TABLE deliveries (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        message_id TEXT NOT NULL UNIQUE,
        tenant TEXT NOT NULL,
        owner TEXT NOT NULL,
        channel TEXT NOT NULL,
        address TEXT NOT NULL,
        lane TEXT NOT NULL,
        type TEXT NOT NULL,
        job_id TEXT,
        payload TEXT NOT NULL,
        created_at TEXT NOT NULL,
        state TEXT NOT NULL DEFAULT 'pending',
        attempts INTEGER NOT NULL DEFAULT 0,
        due_at TEXT,
        attempted_at TEXT,
        status_code INTEGER,
        error TEXT
    );
    CREATE INDEX deliveries_pending ON deliveries (lane, number, due_at) WHERE state = 'pending';
    CREATE INDEX deliveries_of_owner ON deliveries (tenant, owner, number);
    CREATE INDEX deliveries_of_job ON deliveries (job_id) WHERE job_id IS NOT NULL;
    CREATE TRIGGER job_deliveries_deleted AFTER DELETE ON jobs BEGIN
        DELETE FROM deliveries WHERE job_id = OLD.job_id AND state != 'pending';
    END;
    CREATE TABLE delivery_cursor (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        cursor TEXT NOT NULL
    );
    INSERT INTO delivery_cursor SELECT 1, stream || '.' ||
        coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'job_events'), 0) FROM event_stream;
    """,
    # 20: sessions of browsers, of whose tokens only hashes are kept. Each stands for an API key,
    # and goes with it, or for a user whom an OpenID Connect issuer named.
    """
    CREATE TABLE sessions (
        session_id TEXT PRIMARY KEY,
        sha256 TEXT NOT NULL UNIQUE,
        key_id TEXT REFERENCES api_keys (key_id) ON DELETE CASCADE,
        issuer TEXT,
        issued_tenant TEXT,
        issued_user TEXT,
        issued_role TEXT,
        issued_email TEXT,
        begun_at TEXT NOT NULL,
        ends_at TEXT NOT NULL,
        used_at TEXT NOT NULL,
        ended_at TEXT,
        address TEXT,
        agent TEXT,
        CHECK ((key_id IS NULL) != (issuer IS NULL))
    );
    CREATE INDEX sessions_of_key ON sessions (key_id) WHERE key_id IS NOT NULL;
    CREATE INDEX sessions_by_end ON sessions (ends_at);
    """,
    # 21: what is kept of a job beside its row, a compressed document of each kind.
    """
    CREATE TABLE job_details (
        job_id TEXT NOT NULL REFERENCES jobs (job_id) ON DELETE CASCADE,
        kind TEXT NOT NULL,
        content BLOB NOT NULL,
        PRIMARY KEY (job_id, kind)
    );
    """,
)


def statements(script: str) -> Iterator[str]:
    """The statements of a script, one by one; semicolons in texts, comments and triggers are no
    ends. Raises ValueError when the last one has none.
    """
    statement = ""
    for piece in script.split(";")[:-1]:
        statement += piece + ";"
        if sqlite3.complete_statement(statement):
            yield statement.strip()
            statement = ""
    if (statement + script.rpartition(";")[2]).strip():
        raise ValueError(f"a migration ends within a statement: {statement.strip()[:60]!r}")
