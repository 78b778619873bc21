//! The query crate from outside: one binary, since linking DataFusion is what a test costs.

#[cfg(test)]
mod docs;
#[cfg(test)]
mod export;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod lists;
#[cfg(test)]
mod search;
#[cfg(test)]
mod sql;
#[cfg(test)]
mod sqllogic;
