//! The archive of bodies: what was received is written beside the store, and makes another one alike.

use std::path::Path;
use std::sync::Arc;

use model::{ProjectId, SystemClock};
use reqwest::Method;
use serde_json::{Value, json};
use server::archive::{Record, Records, find_archives};
use server::{App, Wire};
use store::disk::RealDisk;

use crate::imports::{check_story, sample, send_batch};
use crate::otlp::{captures, project, traces_of};
use crate::support::{TestServer, batch, config, send};

/// The records of an archive.
fn records(dir: &Path) -> Vec<Record> {
    let files = find_archives(&[dir.to_owned()], None, None).unwrap();
    let records = files.iter().flat_map(|file| Records::open(file).unwrap());
    records.map(Result::unwrap).collect()
}

async fn app(dir: &Path) -> App {
    let config = config(dir);
    App::build(config, Arc::new(SystemClock), Arc::new(RealDisk))
        .await
        .unwrap()
}

/// Everything that the API tells of a project, but for the order in which rows were written.
async fn told(server: &TestServer, project: &str) -> Vec<Value> {
    fn forget_order(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.retain(|name, _| !name.ends_with("seq"));
                fields.values_mut().for_each(forget_order);
            }
            Value::Array(items) => items.iter_mut().for_each(forget_order),
            _ => {}
        }
    }
    let mut traces = traces_of(server, project).await;
    traces.iter_mut().for_each(forget_order);
    traces
}

#[tokio::test]
async fn a_store_made_of_the_archive_tells_the_same() {
    let first = TestServer::with(|config| config.archive.on = true).await;
    let mut projects = vec!["default".to_owned()];
    let gzip = |body: &[u8]| {
        use std::io::Write;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    };
    assert_eq!(first.ingest(batch("trace_a")).await.status, 200);
    for (at, capture) in captures().into_iter().enumerate() {
        let id = project(&first, &capture.name).await;
        for sent in &capture.requests {
            let request = first.request(Method::POST, sent.path);
            let request = request.header("content-type", sent.content_type);
            let request = request.header("openai-project", &id);
            let request = match at % 2 {
                0 => request.body(sent.body.clone()),
                _ => request
                    .header("content-encoding", "gzip")
                    .body(gzip(&sent.body)),
            };
            assert_eq!(send(request).await.status, 200);
        }
        projects.push(id);
    }
    let refused = first.ingest("no items").await;
    assert_eq!(
        refused.status, 400,
        "what cannot be decoded is archived all the same"
    );
    let health = first.get("/v1/health/ingest").await.json()["archive"].clone();
    assert_eq!(
        (&health["status"], &health["lost_records"]),
        (&json!("ok"), &json!(0))
    );
    let metrics = first.get("/metrics").await.text;
    assert!(
        metrics.contains("tracegrade_archive_lost_records_total 0"),
        "{metrics}"
    );
    let mut want = Vec::new();
    for project in &projects {
        want.push(told(&first, project).await);
    }
    let old = first.stop().await;

    let archive = old.path().join("data/archive");
    let records = records(&archive);
    assert_eq!(health["records"], records.len());
    let dir = tempfile::tempdir().unwrap();
    let anew = app(dir.path()).await;
    let mut bad = 0;
    for record in &records {
        assert!(anew.ensure_project(&record.head.project).await.unwrap());
        bad += usize::from(anew.replay(record).await.is_err());
    }
    assert_eq!(bad, 1, "the one that could not be decoded");
    anew.close().await.unwrap();
    let second = TestServer::over(dir).await;
    for (project, want) in projects.iter().zip(want) {
        assert!(!want.is_empty(), "{project}");
        assert_eq!(told(&second, project).await, want, "{project}");
    }
}

#[tokio::test]
async fn batches_of_langfuse_are_laid_over_each_other_again() {
    let first = TestServer::with(|config| config.archive.on = true).await;
    let requests = String::from_utf8(sample("langfuse-v2/requests.jsonl")).unwrap();
    for request in requests.lines() {
        let answer = send_batch(&first, request.to_owned()).await;
        assert_eq!(answer.status, 207, "{}", answer.text);
    }
    let bad = send_batch(&first, "no batch".to_owned()).await;
    assert_eq!(bad.status, 400, "{}", bad.text);
    let want = told(&first, "default").await;
    let old = first.stop().await;

    let records = records(&old.path().join("data/archive"));
    assert_eq!(records.len(), requests.lines().count() + 1);
    assert!(records.iter().all(|one| one.head.wire == Wire::Langfuse));
    let dir = tempfile::tempdir().unwrap();
    let anew = app(dir.path()).await;
    let (mut accepted, mut bad) = (0, 0);
    for record in &records {
        match anew.replay(record).await {
            Ok(taken) => accepted += taken.accepted,
            Err(_) => bad += 1,
        }
    }
    assert!(accepted > 0);
    assert_eq!(bad, 1, "what cannot be decoded is archived all the same");
    anew.close().await.unwrap();
    let second = TestServer::over(dir).await;
    check_story(&second).await;
    assert_eq!(told(&second, "default").await, want);
}

#[tokio::test]
async fn what_was_deleted_does_not_come_back() {
    let first = TestServer::with(|config| config.archive.on = true).await;
    project(&first, "gone").await;
    project(&first, "kept").await;
    for name in ["gone", "kept"] {
        for trace in ["trace_a", "trace_b"] {
            let request = first.request(Method::POST, "/v1/traces/ingest");
            let request = request.header("openai-project", name).body(batch(trace));
            assert_eq!(send(request).await.status, 200);
        }
    }
    let delete = first.request(Method::DELETE, "/v1/traces/trace_a");
    let deleted = send(delete.header("openai-project", "kept")).await.json();
    let (gone, from_archive) = (&deleted["gone_by"], &deleted["gone_from_archive_by"]);
    assert!(from_archive.as_str() > gone.as_str(), "{deleted}");
    let removed = send(first.request(Method::DELETE, "/v1/projects/gone")).await;
    assert_eq!(removed.status, 200, "{}", removed.text);
    let old = first.stop().await;

    let dir = tempfile::tempdir().unwrap();
    let anew = app(dir.path()).await;
    let projects = anew
        .delete_again(&old.path().join("data/meta.db"))
        .await
        .unwrap();
    assert_eq!(projects, [ProjectId::new("gone").unwrap()]);
    let mut refused = 0;
    for record in records(&old.path().join("data/archive")) {
        if record.head.project.as_str() == "kept" {
            assert!(anew.ensure_project(&record.head.project).await.unwrap());
            refused += anew.replay(&record).await.unwrap().rejected_count;
        }
    }
    assert_eq!(refused, 2, "the items of the deleted trace");
    anew.close().await.unwrap();
    let second = TestServer::over(dir).await;
    let left = told(&second, "kept").await;
    assert_eq!((left.len(), &left[0]["id"]), (1, &json!("trace_b")));
    let removed = send(second.request(Method::DELETE, "/v1/projects/kept")).await;
    assert_eq!(removed.status, 200, "{}", removed.text);
    let dir = second.stop().await;
    let anew = app(dir.path()).await;
    let kept = ProjectId::new("kept").unwrap();
    assert!(
        !anew.ensure_project(&kept).await.unwrap(),
        "an id is not given twice"
    );
    anew.close().await.unwrap();
}

#[tokio::test]
async fn ingest_goes_on_where_the_archive_cannot_be_written() {
    let in_the_way = tempfile::NamedTempFile::new().unwrap();
    let server = TestServer::with(|config| {
        config.archive.on = true;
        config.archive.dir = Some(in_the_way.path().join("archive"));
    })
    .await;
    assert_eq!(server.ingest(batch("trace_a")).await.status, 200);
    let health = server.get("/v1/health/ingest").await.json()["archive"].clone();
    assert_eq!(
        (&health["status"], &health["lost_records"]),
        (&json!("failing"), &json!(1))
    );
    assert!(
        health["trouble"]
            .as_str()
            .unwrap()
            .contains("failed to make a file"),
        "{health}"
    );
    let metrics = server.get("/metrics").await.text;
    assert!(
        metrics.contains("tracegrade_archive_lost_records_total 1"),
        "{metrics}"
    );
    assert_eq!(traces_of(&server, "default").await.len(), 1);
}
