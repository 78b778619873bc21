//! Clients that say little: they hold a connection for so long and no longer.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{TestServer, batch};

const SHORT: Duration = Duration::from_millis(300);

async fn impatient() -> TestServer {
    TestServer::with(|config| {
        config.header_timeout = SHORT;
        config.request_timeout = SHORT;
    })
    .await
}

/// Sends the pieces with pauses, and returns what comes back until the connection is closed.
async fn said(server: &TestServer, pieces: &[&str]) -> String {
    let mut socket = TcpStream::connect(server.running().address())
        .await
        .unwrap();
    for piece in pieces {
        // A closed connection is what is waited for.
        let _closed = socket.write_all(piece.as_bytes()).await;
        tokio::time::sleep(SHORT / 10).await;
    }
    let mut answer = Vec::new();
    let end = socket.read_to_end(&mut answer);
    let ended = tokio::time::timeout(10 * SHORT, end).await;
    let _reset = ended.expect("the connection is closed in time");
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_head_that_does_not_end_closes_the_connection() {
    let server = impatient().await;
    for pieces in [
        &[][..],
        &["P"],
        &["PRI * HTTP/2.0\r\n"],
        &["GET /v1/health HTTP/1.1\r\n"],
        &["GET /v1/health HTTP/1.1\r\n", "host: localhost\r\n", "x: "],
    ] {
        let answer = said(&server, pieces).await;
        assert!(!answer.contains("200"), "{pieces:?}: {answer}");
    }
    let whole = "GET /v1/health HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let answer = said(&server, &[whole]).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(server.ingest(batch("trace_a")).await.status, 200);
}

#[tokio::test]
async fn a_body_that_does_not_end_is_answered_in_time() {
    let server = impatient().await;
    let head = "POST /v1/traces/ingest HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\n";
    let answer = said(&server, &[head, "{", "\"data\":["]).await;
    assert!(answer.starts_with("HTTP/1.1 504"), "{answer}");
    assert!(answer.contains("timed_out"), "{answer}");
}

#[tokio::test]
async fn a_server_that_stops_does_not_wait_for_who_says_nothing() {
    let server = TestServer::new().await;
    let address = server.running().address();
    let mut idle = TcpStream::connect(address).await.unwrap();
    let whole = b"GET /v1/health HTTP/1.1\r\nhost: localhost\r\n\r\n";
    idle.write_all(whole).await.unwrap();
    let mut answer = [0; 12];
    idle.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    tokio::time::timeout(Duration::from_secs(5), server.stop())
        .await
        .expect("it ends at once");
}
