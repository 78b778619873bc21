//! What does the API say of itself?
//!
//! The description is made from the handlers. The copy at the root of the repository is what clients
//! and the UI are generated from; a test compares the two.

use std::sync::LazyLock;

use utoipa::OpenApi;
use utoipa::openapi::OpenApi as Document;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};

use crate::{capture, evals, grading, langfuse, operate, otlp, proxy, read};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "tracegrade",
        description = "Records what AI agents do, keeps it, and answers questions about it. The project is that of the key, or the one named in the header `OpenAI-Project`. Errors and lists are OpenAI's.",
    ),
    paths(
        capture::ingest,
        capture::import,
        langfuse::ingestion,
        otlp::export_traces,
        otlp::export_logs,
        otlp::export_metrics,
        proxy::pass,
        operate::health,
        operate::ingest_health,
        operate::metrics,
        operate::openapi_document,
        operate::list_keys,
        operate::create_key,
        operate::revoke_key,
        operate::list_projects,
        operate::create_project,
        operate::update_project,
        operate::delete_project,
        operate::doctor,
        operate::backup,
        operate::list_prices,
        operate::set_price,
        operate::remove_price,
    ),
    tags(
        (name = "capture", description = "Where traces are sent"),
        (name = "read", description = "What is kept"),
        (name = "operate", description = "Health, keys, projects, prices"),
    ),
)]
struct Frame;

/// Returns the description as JSON, the same at each call.
pub fn document() -> &'static str {
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
        let document = describe();
        let mut text = serde_json::to_string_pretty(&document).expect("it has only texts for keys");
        text.push('\n');
        text
    });
    &DOCUMENT
}

fn describe() -> Document {
    let mut document = Frame::openapi();
    document.merge(read::openapi());
    document.merge(evals::openapi());
    document.merge(grading::openapi());
    let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    document
        .components
        .get_or_insert_default()
        .add_security_scheme("key", bearer);
    document
}
