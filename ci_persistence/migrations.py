"""The schema, as numbered steps forward. A released step is never edited."""

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
)
