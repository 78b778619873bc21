//! Calls that cannot be recorded: they pass, and the books say why they are missing.

use server::Config;

use super::upstream::COMPLETION;
use super::{CHAT, REQUEST, Scene};
use crate::support::send;

async fn check(change: fn(&mut Config), play: &str, body: &str, reason: &str) {
    let scene = Scene::with(change).await;
    let answer = send(scene.send(CHAT, play, body.to_owned())).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let books = scene.books(1).await;
    let want = serde_json::json!({ reason: 1 });
    assert_eq!(books["refused"], want, "{books}");
    assert_eq!(books["accepted"], 0);
    assert_eq!(scene.upstream.got()[0].body, body, "it passed whole");
}

#[tokio::test]
async fn what_is_not_recorded_passes_and_is_counted() {
    let nothing: fn(&mut Config) = |_| {};
    let full: fn(&mut Config) = |config| config.store.free_bytes_min = u64::MAX;
    check(full, "", REQUEST, "disk_full").await;
    let small: fn(&mut Config) = |config| config.body_bytes_max = 1_000;
    let too_large = "recording_skipped_body_too_large";
    check(small, "", &"x".repeat(1_001), too_large).await;
    check(small, "large", REQUEST, too_large).await;
    let unreadable = "recording_skipped_unreadable_request";
    check(nothing, "", "not json", unreadable).await;
    check(nothing, "stream", "[]", unreadable).await;
    let bomb: fn(&mut Config) = |config| config.inflated_bytes_max = 100;
    check(bomb, "", REQUEST, too_large).await;
}

#[tokio::test]
async fn without_memory_for_a_copy_the_call_goes_on() {
    let scene = Scene::with(|config| config.store.memory_bytes_max = 1 << 20).await;
    let ledger = scene.server.running().store().ledger();
    let neighbour = ledger.reserve(store::Share::Bodies, 250_000).unwrap();
    let answer = send(scene.call("")).await;
    assert_eq!(answer.text, COMPLETION);
    let books = scene.books(1).await;
    let want = serde_json::json!({"recording_skipped_memory_full": 1});
    assert_eq!(books["refused"], want);
    drop(neighbour);
    assert_eq!(ledger.used(store::Share::Bodies), 0, "all is given back");
}
