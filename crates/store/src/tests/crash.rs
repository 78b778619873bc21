//! The process dies, or the disk refuses, at every step there is.

use rustix::io::Errno;

use super::world::{World, span};
use crate::disk::DiskOp;
use crate::disk::faulty::Fault;

/// Sends, flushes, merges and deletes. Errors are answers here: the account knows what was promised.
async fn a_days_work(world: &mut World) {
    for round in 0..3 {
        for n in 0..3 {
            let mut open = span("long", &format!("s{n}"));
            open.ended = round > 0;
            let sent = [span(&format!("t{round}{n}"), "a"), open];
            drop(world.send(&sent).await);
        }
        // The first of them replaces what an earlier round said.
        drop(world.grade("run", "long", &["a"]).await);
        drop(world.grade("run", &format!("t{round}0"), &["a", "b"]).await);
        drop(world.store().flush().await);
    }
    drop(world.store().compact().await);
    drop(world.send(&[span("last", "a")]).await);
}

#[tokio::test]
async fn d1_d2_d3_d4_a_crash_at_every_step_loses_and_doubles_nothing() {
    let mut steps = World::new().await;
    let before = steps.disk.ops();
    a_days_work(&mut steps).await;
    let count = steps.disk.ops() - before;
    steps.check("without a crash");
    steps.kill().await;
    assert!(count > 100, "there are steps to die at: {count}");
    for step in 0..count {
        let mut world = World::new().await;
        world.disk.fail_after(step);
        a_days_work(&mut world).await;
        world.power_cut(step).await;
        world.check(&format!("died at step {step} of {count}"));
        world.store().flush().await.unwrap();
        world.store().compact().await.unwrap();
        world.check(&format!("died at step {step}, flushed"));
        world.kill().await;
    }
}

#[tokio::test]
async fn a_full_disk_and_a_broken_one_are_answered_and_got_over() {
    for op in [
        DiskOp::Create,
        DiskOp::Write,
        DiskOp::Sync,
        DiskOp::Allocate,
        DiskOp::Rename,
        DiskOp::SyncDir,
    ] {
        for errno in [Errno::NOSPC, Errno::IO] {
            let mut world = World::new().await;
            world.send(&[span("before", "a")]).await.unwrap();
            world.disk.fail(Fault::always(op, errno));
            a_days_work(&mut world).await;
            let what = format!("{op} fails with {errno}");
            if world.store().stopped().is_none() {
                world.check(&what);
            }
            world.restart().await;
            world.check(&format!("{what}, restarted"));
            world.send(&[span("after", "a")]).await.unwrap();
            world.store().flush().await.unwrap();
            world.check(&format!("{what}, healed"));
            world.kill().await;
        }
    }
}
