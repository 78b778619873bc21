//! How does a command get at a data folder that no server has open?

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use model::Clock;
use server::local::RealDisk;
use server::{App, BuildError, Config, Flags};

/// Opens a data folder without listening anywhere. If a server has it open, the error names its URL.
pub(super) async fn open(data_dir: &Path, clock: Arc<dyn Clock>) -> anyhow::Result<App> {
    let values = BTreeMap::from([
        (
            "data_dir".to_owned(),
            data_dir.to_string_lossy().into_owned(),
        ),
        // Nothing listens, so that no key is asked for.
        ("listen".to_owned(), "127.0.0.1:0".to_owned()),
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
