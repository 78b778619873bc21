//! Who gets in: local mode, web pages, keys, scopes, projects.

use reqwest::Method;
use serde_json::json;

use crate::support::{TestServer, batch, send};

#[tokio::test]
async fn without_keys_any_bearer_is_accepted_on_this_machine() {
    let server = TestServer::new().await;
    let request = server.request(Method::POST, "/v1/traces/ingest");
    let answer = send(request.bearer_auth("sk-anything").body(batch("trace_a"))).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        server.get("/v1/health").await.json()["needs_key"],
        json!(false)
    );
}

#[tokio::test]
async fn a_rebound_name_and_a_foreign_page_are_refused_on_every_route() {
    let server = TestServer::new().await;
    for path in ["/v1/health", "/v1/traces/ingest", "/metrics", "/nowhere"] {
        let with = |name: &'static str, value: &'static str| {
            server.request(Method::GET, path).header(name, value)
        };
        let rebound = send(with("host", "evil.example:4318")).await;
        assert_eq!(rebound.error(), (403, "foreign_host".into()), "{path}");
        let foreign = send(with("origin", "https://evil.example")).await;
        assert_eq!(foreign.error(), (403, "cross_origin".into()), "{path}");
        assert!(foreign.header("access-control-allow-origin").is_empty());
    }
}

#[tokio::test]
async fn a_page_that_is_named_may_call() {
    let origin = "https://app.example";
    let server = TestServer::with(|config| config.cors_origins = vec![origin.to_owned()]).await;
    let asked = send(
        server
            .request(Method::GET, "/v1/health")
            .header("origin", origin),
    )
    .await;
    assert_eq!(
        (
            asked.status.as_u16(),
            asked.header("access-control-allow-origin")
        ),
        (200, origin)
    );
    let preflight = server
        .request(Method::OPTIONS, "/v1/traces/ingest")
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header(
            "access-control-request-headers",
            "authorization,content-encoding",
        );
    let allowed = send(preflight).await;
    assert_eq!(allowed.status, 200);
    assert!(
        allowed
            .header("access-control-allow-headers")
            .contains("authorization")
    );
    let other = send(
        server
            .request(Method::GET, "/v1/health")
            .header("origin", "https://b.example"),
    )
    .await;
    assert_eq!(other.error(), (403, "cross_origin".into()));
}

#[tokio::test]
async fn the_first_key_must_be_able_to_make_others() {
    let server = TestServer::new().await;
    for body in [
        json!({"name": "a"}),
        json!({"name": "a", "scopes": ["admin"], "projects": ["default"]}),
    ] {
        let answer = server.post("/v1/keys", &body).await;
        assert_eq!(answer.error(), (409, "conflict".into()), "{body}");
    }
    let unknown = server
        .post("/v1/keys", &json!({"name": "a", "scopes": ["root"]}))
        .await;
    assert_eq!(unknown.error(), (400, "invalid_parameter".into()));
    assert_eq!(
        server.get("/v1/health").await.json()["needs_key"],
        json!(false)
    );
}

#[tokio::test]
async fn keys_open_what_their_scopes_say_until_they_are_revoked() {
    let server = TestServer::new().await;
    let (_, admin) = server
        .make_key(None, json!({"name": "admin", "scopes": ["admin"]}))
        .await;
    let (_, reader) = server
        .make_key(Some(&admin), json!({"name": "r", "scopes": ["read"]}))
        .await;
    let (id, sender) = server
        .make_key(Some(&admin), json!({"name": "s", "scopes": ["ingest"]}))
        .await;
    assert!(admin.starts_with("tg_") && admin.len() == 46, "{admin}");

    let status = async |method: Method, path: &str, key: Option<&str>| {
        let mut request = server.request(method, path).body(batch("trace_a"));
        if let Some(key) = key {
            request = request.bearer_auth(key);
        }
        send(request).await.status.as_u16()
    };
    for (method, path, want) in [
        (Method::POST, "/v1/traces/ingest", [401, 401, 200, 403, 200]),
        (Method::GET, "/v1/health/ingest", [401, 401, 200, 200, 403]),
        (Method::GET, "/v1/keys", [401, 401, 200, 403, 403]),
        (Method::GET, "/v1/health", [200, 200, 200, 200, 200]),
    ] {
        let keys = [
            None,
            Some("tg_wrong"),
            Some(&*admin),
            Some(&*reader),
            Some(&*sender),
        ];
        for (key, want) in keys.into_iter().zip(want) {
            assert_eq!(
                status(method.clone(), path, key).await,
                want,
                "{method} {path} {key:?}"
            );
        }
    }

    let revoke = server
        .request(Method::DELETE, &format!("/v1/keys/{id}"))
        .bearer_auth(&admin);
    let revoked = send(revoke).await;
    assert!(revoked.json()["revoked_at"].is_string(), "{}", revoked.text);
    assert!(!revoked.text.contains(&sender), "a key is told once");
    assert_eq!(
        status(Method::POST, "/v1/traces/ingest", Some(&sender)).await,
        401
    );

    let health = send(
        server
            .request(Method::GET, "/v1/health/ingest")
            .bearer_auth(&admin),
    )
    .await
    .json();
    let strangers = health["data"]
        .as_array()
        .unwrap()
        .iter()
        .find(|entry| entry["project_id"].is_null());
    let want = json!({"api_key_missing": 1, "invalid_api_key": 2});
    assert_eq!(strangers.unwrap()["refused"], want, "a mistyped key shows");
}

#[tokio::test]
async fn the_last_key_that_manages_keys_stays_and_a_revoked_one_opens_nothing() {
    let server = TestServer::new().await;
    let (id, admin) = server
        .make_key(None, json!({"name": "admin", "scopes": ["admin"]}))
        .await;
    let revoke = || {
        let path = format!("/v1/keys/{id}");
        send(server.request(Method::DELETE, &path).bearer_auth(&admin))
    };
    let refused = revoke().await;
    assert_eq!(refused.status, 409);
    assert!(refused.text.contains("last key"), "{}", refused.text);
    server
        .make_key(Some(&admin), json!({"name": "heir", "scopes": ["admin"]}))
        .await;
    assert_eq!(revoke().await.status, 200);
    assert_eq!(revoke().await.status, 401);
    assert_eq!(
        server.get("/v1/keys").await.error(),
        (401, "api_key_missing".into())
    );
}

#[tokio::test]
async fn a_key_for_one_project_knows_no_other() {
    let server = TestServer::new().await;
    assert_eq!(
        server
            .post("/v1/projects", &json!({"id": "other"}))
            .await
            .status,
        200
    );
    let (_, admin) = server
        .make_key(None, json!({"name": "admin", "scopes": ["admin"]}))
        .await;
    let limited = json!({"name": "o", "scopes": ["admin"], "projects": ["other"]});
    let (_, key) = server.make_key(Some(&admin), limited).await;

    let ask = async |project: Option<&str>, method: Method, path: &str, key: &str| {
        let mut request = server
            .request(method, path)
            .bearer_auth(key)
            .body(batch("trace_o"));
        if let Some(project) = project {
            request = request.header("openai-project", project);
        }
        send(request).await
    };
    let ingest = "/v1/traces/ingest";
    for (project, want) in [
        (None, 200),
        (Some("other"), 200),
        (Some("default"), 404),
        (Some("none"), 404),
    ] {
        let answer = ask(project, Method::POST, ingest, &key).await;
        assert_eq!(answer.status, want, "{project:?}: {}", answer.text);
    }
    let there = ask(Some("default"), Method::POST, ingest, &key).await.text;
    let nowhere = ask(Some("none"), Method::POST, ingest, &key).await.text;
    assert_eq!(
        there.replace("default", "none"),
        nowhere,
        "whether a project exists is not told"
    );
    for path in ["/v1/keys", "/v1/projects", "/metrics"] {
        let answer = ask(None, Method::GET, path, &key).await;
        assert_eq!(
            answer.error(),
            (403, "scope_missing".into()),
            "{path} is about all projects"
        );
    }
    let own = ask(None, Method::GET, "/v1/health/ingest", &key)
        .await
        .json();
    let projects: Vec<_> = own["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["project_id"].clone())
        .collect();
    assert_eq!(projects, [json!("other")]);
    let unknown = ask(Some("none"), Method::POST, ingest, &admin).await;
    assert_eq!(unknown.error(), (404, "project_not_found".into()));
}
