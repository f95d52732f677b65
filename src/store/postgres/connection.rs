//! One connection: made with the settings that farpost relies on, its statements prepared once.

use std::collections::HashMap;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, Row, Statement};

use crate::code::Code;
use crate::error::{Error, Result};
use crate::store::postgres::failure::Failure;
use crate::store::postgres::url::Target;

/// How long a call waits for its answer; above what the settings below let a statement take.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// How long a step of a migration may take: a thousand million deliveries take a quarter of an hour.
const MIGRATED_WITHIN: Duration = Duration::from_secs(3_600);
/// How long a host may take for all that follows its TCP connection: TLS, login, settings.
const LOGIN_WITHIN: Duration = Duration::from_secs(5);

/// What every connection begins with. A server of the group that vanishes in the middle of a transaction must not hold
/// its locks for long; what is acknowledged is on disk (rule D4), whatever the database's default is.
const SETTINGS: &str = "
    SET statement_timeout = '15s';
    SET lock_timeout = '10s';
    SET idle_in_transaction_session_timeout = '10s';
    SET tcp_keepalives_idle = 15;
    SET tcp_keepalives_interval = 5;
    SET tcp_keepalives_count = 3;
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'";

/// A connection and what is known of it.
pub(super) struct Link {
    client: Client,
    statements: HashMap<&'static str, Statement>,
    /// Whether changes are told by NOTIFY.
    pub(super) notifies: bool,
    /// What failed last, for the engine; the caller has the error.
    pub(super) failure: Option<Failure>,
    /// From BEGIN until the transaction's end was answered: what is left like that, by a panic say, is of no use.
    pub(super) is_busy: bool,
    /// Whether it has answered a call before.
    pub(super) is_proven: bool,
}

impl Link {
    /// Connects to the first host of the target that can be written.
    pub(super) fn open(runtime: &Handle, target: &Target) -> Result<Self, Failure> {
        let (client, notifies) = runtime.block_on(first(target, async |host| {
            let client = connect(target, host).await?;
            client.batch_execute(SETTINGS).await?;
            let notifies = target.notify && has_notify(&client).await?;
            Ok((client, notifies))
        }))?;
        Ok(Self { client, statements: HashMap::new(), notifies, failure: None, is_busy: false, is_proven: false })
    }

    /// The rows of a statement, which is prepared at its first use.
    pub(super) fn query(
        &mut self,
        runtime: &Handle,
        sql: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>> {
        let (client, statements) = (&self.client, &mut self.statements);
        let work = async {
            let statement = prepared(client, statements, sql).await?;
            client.query(&statement, parameters).await
        };
        let answer = runtime.block_on(async { tokio::time::timeout(ANSWER_WITHIN, work).await });
        self.note(answer)
    }

    /// The same of a change: how many rows it met.
    pub(super) fn execute(
        &mut self,
        runtime: &Handle,
        sql: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<u64> {
        let (client, statements) = (&self.client, &mut self.statements);
        let work = async {
            let statement = prepared(client, statements, sql).await?;
            client.execute(&statement, parameters).await
        };
        let answer = runtime.block_on(async { tokio::time::timeout(ANSWER_WITHIN, work).await });
        self.note(answer)
    }

    /// Runs statements without parameters, such as BEGIN.
    pub(super) fn run(&mut self, runtime: &Handle, sql: &str) -> Result<()> {
        self.run_within(ANSWER_WITHIN, runtime, sql)
    }

    /// Runs statements of a migration, which may have to rewrite all that is there: what limits other statements does
    /// not until the transaction ends.
    pub(super) fn run_long(&mut self, runtime: &Handle, sql: &str) -> Result<()> {
        self.run(runtime, "SET LOCAL statement_timeout = 0")?;
        self.run_within(MIGRATED_WITHIN, runtime, sql)
    }

    fn run_within(&mut self, limit: Duration, runtime: &Handle, sql: &str) -> Result<()> {
        let work = self.client.batch_execute(sql);
        let answer = runtime.block_on(async { tokio::time::timeout(limit, work).await });
        self.note(answer)
    }

    fn note<R>(&mut self, answer: Result<Result<R, tokio_postgres::Error>, tokio::time::error::Elapsed>) -> Result<R> {
        let failure = match answer {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => Failure::of(&error),
            Err(_) => Failure::silent(),
        };
        let error = failure.error.clone();
        self.failure = Some(failure);
        Err(error)
    }
}

/// A statement, prepared at its first use.
async fn prepared(
    client: &Client,
    statements: &mut HashMap<&'static str, Statement>,
    sql: &'static str,
) -> Result<Statement, tokio_postgres::Error> {
    if let Some(statement) = statements.get(sql) {
        return Ok(statement.clone());
    }
    let statement = client.prepare(sql).await?;
    statements.insert(sql, statement.clone());
    Ok(statement)
}

/// The first of the target's hosts that `connect` works with. Of what failed, the most telling is answered: not that
/// the next host is silent as well.
async fn first<R>(
    target: &Target,
    connect: impl AsyncFn(&Config) -> Result<R, tokio_postgres::Error>,
) -> Result<R, Failure> {
    let mut failure = Failure::silent();
    for host in &target.hosts {
        let failed = match tokio::time::timeout(answers_within(host), connect(host)).await {
            Ok(Ok(connected)) => return Ok(connected),
            Ok(Err(error)) => Failure::of(&error),
            Err(_) => continue,
        };
        if failure.error.code() == Code::StoreUnavailable {
            failure = failed;
        }
    }
    Err(failure)
}

/// How long a host may take until it is of use.
pub(super) fn answers_within(host: &Config) -> Duration {
    host.get_connect_timeout().copied().unwrap_or_default() + LOGIN_WITHIN
}

/// Connects, and lets the connection be driven by the runtime.
async fn connect(target: &Target, host: &Config) -> Result<Client, tokio_postgres::Error> {
    match &target.tls {
        Some(tls) => {
            let (client, connection) = host.connect(tls.clone()).await?;
            tokio::spawn(connection);
            Ok(client)
        }
        None => {
            let (client, connection) = host.connect(tokio_postgres::NoTls).await?;
            tokio::spawn(connection);
            Ok(client)
        }
    }
}

async fn has_notify(client: &Client) -> Result<bool, tokio_postgres::Error> {
    let found = client.query("SELECT 1 FROM pg_catalog.pg_proc WHERE proname = 'pg_notify'", &[]).await?;
    Ok(!found.is_empty())
}

/// The one row of a query that always has one.
pub(super) fn only(rows: Vec<Row>) -> Result<Row> {
    rows.into_iter().next().ok_or_else(|| Error::new(Code::StoreCorrupt).found("no row where there always is one"))
}
