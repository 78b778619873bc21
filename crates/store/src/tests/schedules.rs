//! Random schedules of everything at once, each ended by power cuts. The seed is in every message.

use model::TraceId;

use super::world::{World, span};

/// A small generator of our own: a schedule is its seed, on every machine.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }
}

async fn run(seed: u64) {
    let mut dice = Dice(seed);
    let mut world = World::with(|config| config.retained_traces_max = 2).await;
    for step in 0..6 + dice.roll(14) {
        let what = format!("seed {seed}, step {step}");
        match dice.roll(18) {
            0..=7 => send(&mut world, &mut dice).await,
            16 | 17 => grade(&mut world, &mut dice).await,
            8 | 9 => drop(world.store().flush().await),
            10 => drop(world.store().compact().await),
            11 => {
                let trace = format!("t{}", dice.roll(5));
                delete(&mut world, &trace).await;
            }
            12 => drop(world.store().erase().await),
            13 => world
                .clock
                .advance_micros(dice.roll(100_000_000_000) as i64 - 20_000_000_000),
            14 => world.disk.fail_after(dice.roll(40)),
            15 if dice.roll(3) == 0 => drop(world.lose_catalog(&what).await),
            _ => world.power_cut(dice.roll(u64::MAX)).await,
        }
        if world.store().stopped().is_some() {
            world.power_cut(dice.roll(u64::MAX)).await;
        }
        world.check_if_alive(&what);
    }
    world.power_cut(dice.roll(u64::MAX)).await;
    world.check(&format!("seed {seed}, at the end"));
    world
        .store()
        .flush()
        .await
        .unwrap_or_else(|e| panic!("seed {seed}: {e}"));
    world
        .store()
        .compact()
        .await
        .unwrap_or_else(|e| panic!("seed {seed}: {e}"));
    world.check(&format!("seed {seed}, tidied"));
    world.kill().await;
}

async fn send(world: &mut World, dice: &mut Dice) {
    let count = 1 + dice.roll(4);
    let mut sketches = Vec::new();
    for _ in 0..count {
        let trace = format!("t{}", dice.roll(5));
        if world.is_deleted(&trace) {
            continue;
        }
        let mut sketch = span(&trace, &format!("s{}", dice.roll(6)));
        sketch.ended = dice.roll(3) > 0;
        sketch.messages = (0..dice.roll(4)).map(|n| format!("\"m{n}\"")).collect();
        sketches.push(sketch);
    }
    drop(world.send(&sketches).await);
}

/// Grades a trace, sent or not, in one of two runs; often what was graded before.
async fn grade(world: &mut World, dice: &mut Dice) {
    let trace = format!("t{}", dice.roll(5));
    if world.is_deleted(&trace) {
        return;
    }
    let run = format!("run_{}", dice.roll(2));
    let graders = ["a", "b", "c"];
    let count = 1 + dice.roll(3) as usize;
    drop(world.grade(&run, &trace, &graders[..count]).await);
}

async fn delete(world: &mut World, trace: &str) {
    if world.is_deleted(trace) {
        return;
    }
    let trace_id = TraceId::new(trace).expect("an id");
    match world
        .store()
        .delete_traces(&world.project, vec![trace_id.clone()])
        .await
    {
        Ok(_) => world.note_deleted(&trace_id),
        // Whether it reached the log is open: nothing more can be said of this trace.
        Err(_) => world.note_unknown(&trace_id),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "`make soak` asks for more, whoever looks into a failure for one"
)]
fn asked(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().expect("a number in the environment"))
}

/// How many schedules, over all tests of this page.
fn schedules() -> u64 {
    asked("TRACEGRADE_SCHEDULES").unwrap_or(1_000)
}

/// Runs every fourth schedule: four tests run side by side, each a core.
async fn run_quarter(quarter: u64) {
    let first = asked("TRACEGRADE_SEED").unwrap_or(0);
    for seed in (first + quarter..first + schedules()).step_by(4) {
        run(seed).await;
    }
}

#[tokio::test]
async fn d1_d2_d5_d6_d7_hold_on_random_schedules_first_quarter() {
    run_quarter(0).await;
}

#[tokio::test]
async fn d1_d2_d5_d6_d7_hold_on_random_schedules_second_quarter() {
    run_quarter(1).await;
}

#[tokio::test]
async fn d1_d2_d5_d6_d7_hold_on_random_schedules_third_quarter() {
    run_quarter(2).await;
}

#[tokio::test]
async fn d1_d2_d5_d6_d7_hold_on_random_schedules_last_quarter() {
    run_quarter(3).await;
}
