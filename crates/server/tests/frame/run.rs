//! Starting and ending.

use std::sync::Arc;

use model::{ProjectId, SystemClock, TraceId};
use server::{Addresses, App, BuildError, Config, Wire, bind};
use store::disk::RealDisk;

use crate::support::{TestServer, batch, client, config, start};

async fn build(config: Config) -> Result<App, BuildError> {
    App::build(config, Arc::new(SystemClock), Arc::new(RealDisk)).await
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_stop() {
    let server = TestServer::new().await;
    let sends = (0..20).map(|n| server.ingest(batch(&format!("trace_{n}"))));
    let answers = futures::future::join_all(sends).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    let dir = server.stop().await;

    let again = start(config(dir.path())).await;
    let snapshot = again.store().snapshot(&ProjectId::new("default").unwrap());
    for n in 0..20 {
        let id = TraceId::new(&format!("trace_{n}")).unwrap();
        assert!(snapshot.trace(&id).unwrap().is_some(), "{id}");
    }
    drop(snapshot);
    again.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_that_has_stopped_takes_nothing_and_lets_the_folder_go() {
    let server = TestServer::new().await;
    let address = server.running().address();
    let dir = server.stop().await;
    let refused = client()
        .get(format!("http://{address}/v1/health"))
        .send()
        .await;
    assert!(refused.unwrap_err().is_connect());
    build(config(dir.path()))
        .await
        .unwrap()
        .close()
        .await
        .unwrap();
}

#[tokio::test]
async fn a_server_that_others_reach_needs_keys_or_a_clear_word() {
    let dir = tempfile::tempdir().unwrap();
    let open = |allow_open| {
        let mut config = config(dir.path());
        config.listen = "0.0.0.0:0".parse().unwrap();
        config.allow_open = allow_open;
        config
    };
    let mut over_grpc = config(dir.path());
    over_grpc.grpc_listen = Some("0.0.0.0:4317".parse().unwrap());
    for (config, named) in [(open(false), "0.0.0.0:0"), (over_grpc, "0.0.0.0:4317")] {
        let error = build(config).await.unwrap_err();
        assert!(matches!(error, BuildError::Open { .. }));
        let text = error.to_string();
        assert!(
            text.contains("--allow-open") && text.contains(named),
            "{text}"
        );
    }
    let app = build(open(true)).await.unwrap();
    let addresses = Addresses {
        http: open(true).listen,
        grpc: Some("127.0.0.1:4317".parse().unwrap()),
    };
    let greeting = app.greeting(&addresses);
    assert!(greeting[2].contains("OPEN"));
    assert!(greeting[3].ends_with("over gRPC http://127.0.0.1:4317"));
    let admin = server::keys::KeyRequest {
        name: "admin".into(),
        scopes: vec!["admin".into()],
        projects: Vec::new(),
    };
    server::keys::create(app.store().meta(), "test", &admin)
        .await
        .unwrap();
    app.close().await.unwrap();
    let app = build(open(false)).await.unwrap();
    assert!(app.greeting(&addresses)[2].contains("keys"));
    app.close().await.unwrap();
}

#[tokio::test]
async fn a_busy_port_names_the_flag() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let busy = taken.local_addr().unwrap();
    let free = "127.0.0.1:0".parse().unwrap();
    let check = async |http, grpc, flag| {
        let mut config = Config::default();
        (config.listen, config.grpc_listen) = (http, Some(grpc));
        let error = bind(&config).await.unwrap_err().to_string();
        assert!(
            error.contains(flag) && error.contains(&busy.to_string()),
            "{error}"
        );
    };
    check(busy, free, " --listen").await;
    check(free, busy, " --grpc-listen").await;
}

#[tokio::test]
async fn a_batch_can_be_taken_in_without_http() {
    let dir = tempfile::tempdir().unwrap();
    let app = build(config(dir.path())).await.unwrap();
    let project = |id: &str| ProjectId::new(id).unwrap();
    let body = || bytes::Bytes::from(batch("trace_a"));
    let taken = app
        .ingest(
            &project("default"),
            model::Source::Import,
            Wire::AgentsSdk,
            body(),
        )
        .await
        .unwrap();
    assert_eq!((taken.accepted, taken.rejected_count), (2, 0));
    let unknown = app
        .ingest(
            &project("none"),
            model::Source::Import,
            Wire::AgentsSdk,
            body(),
        )
        .await
        .unwrap_err();
    assert_eq!(unknown.to_string(), "there is no project \"none\"");
    app.close().await.unwrap();
}
