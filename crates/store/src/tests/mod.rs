//! The store as a whole: what holds after crashes, power cuts, full disks and odd clocks.
//!
//! One world (a store on a simulated disk, and a plain account of what was acknowledged) serves all
//! of them: after anything that happens, [`World::check`] compares the two.

mod backup;
mod comparisons;
mod crash;
mod delete;
mod grades;
mod lifecycle;
mod meta_copies;
mod rebuild;
mod schedules;
mod set_aside;
mod uploads;
mod world;
