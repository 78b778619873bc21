//! The `.slt` files of `testdata/sql`.

use std::path::Path;
use std::sync::Arc;

use crate::fixture::{demo, engine, values};
use async_trait::async_trait;
use query::{Engine, Limits, SqlError, View};
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Runner};

/// The fixed project.
struct Demo {
    engine: Arc<Engine>,
    view: Arc<dyn View>,
}

#[async_trait]
impl AsyncDB for Demo {
    type Error = SqlError;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, SqlError> {
        let view = Arc::clone(&self.view);
        let mut stream = self.engine.sql(view, sql, Limits::default()).await?;
        let types = vec![DefaultColumnType::Any; stream.schema().fields().len()];
        let mut rows = Vec::new();
        while let Some(batch) = stream.next().await? {
            rows.extend(values(&batch));
        }
        Ok(DBOutput::Rows { types, rows })
    }

    async fn shutdown(&mut self) {}
}

#[test]
fn the_examples_of_testdata_hold() {
    let (_lake, view) = demo();
    let engine = Arc::new(engine());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/sql");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.retain(|path| path.extension().is_some_and(|ext| ext == "slt"));
    assert!(files.len() >= 4, "{files:?}");
    for file in files {
        let mut runner = Runner::new(|| {
            let db = Demo {
                engine: Arc::clone(&engine),
                view: Arc::clone(&view),
            };
            async move { Ok(db) }
        });
        runner
            .run_file(&file)
            .unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    }
}
