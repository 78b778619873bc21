//! How does a command get at a data folder that no server has open?

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use model::{Clock, ProjectId, Source};
use server::local::{AppendError, RealDisk};
use server::{App, BuildError, Config, Flags, IntakeError, Taken, Wire};

/// Opens a data folder without listening anywhere. If a server has it open, the error names its URL.
pub(super) async fn open(data_dir: &Path, clock: Arc<dyn Clock>) -> anyhow::Result<App> {
    let values = BTreeMap::from([
        (
            "data_dir".to_owned(),
            data_dir.to_string_lossy().into_owned(),
        ),
        // Nothing listens, so that no key is asked for.
        ("listen".to_owned(), "127.0.0.1:0".to_owned()),
        ("grpc_listen".to_owned(), "off".to_owned()),
    ]);
    let config = Config::load(&Flags {
        config: None,
        values,
    })?;
    Ok(build(config, clock).await?)
}

/// Opens everything that the settings name, on the real disk.
pub(super) async fn build(config: Config, clock: Arc<dyn Clock>) -> Result<App, BuildError> {
    App::build(config, clock, Arc::new(RealDisk)).await
}

/// Takes in one request; waits if the store wants time.
pub(super) async fn take(
    app: &App,
    project: &ProjectId,
    source: Source,
    wire: Wire,
    body: Bytes,
) -> Result<Taken, IntakeError> {
    loop {
        let taken = app.ingest(project, source, wire, body.clone());
        match taken.await {
            Err(IntakeError::Append(AppendError::Refused(refusal))) => {
                let wait = Duration::from_secs(u64::from(refusal.retry_after_s.max(1)));
                tokio::time::sleep(wait).await;
            }
            other => return other,
        }
    }
}
