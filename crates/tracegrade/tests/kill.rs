//! D1 from outside: what was acknowledged before the power went is there afterwards, once.

use std::time::Duration;

#[path = "../benches/kill_loop/mod.rs"]
mod kill_loop;

#[test]
fn d1_what_was_acknowledged_survives_every_kill_once() {
    let told = kill_loop::run(&kill_loop::Plan {
        binary: env!("CARGO_BIN_EXE_tracegrade"),
        kills: 6,
        gentle_every: 3,
        check_every: 1,
        between: Duration::from_millis(200)..Duration::from_millis(2_500),
        connections: 4,
        seed: 11,
    });
    assert!(told.acknowledged > 0 && told.spans > 0, "{told:?}");
    assert!(told.doubted > 0, "no kill came in between: {told:?}");
}
