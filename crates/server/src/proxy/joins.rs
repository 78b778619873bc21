//! Which trace does a call belong to, if it does not say?
//!
//! A client that is told nothing makes one trace a call. Attempts at one call belong together: the
//! same request to the same place, soon after it failed. And where the client asks for it, a call
//! that repeats the messages of an earlier one and goes on from there, or names the response that it
//! goes on from, is a part of the same conversation. What is known of earlier calls is a number of
//! hashes; the oldest are forgotten first, and all with the process.

use std::collections::{HashMap, VecDeque};

use ingest::openai_api::Links;
use model::{MessageHash, ProjectId, Time};

use super::headers::Asked;

/// Hashes that are known of one project.
const HASHES_MAX: usize = 16_384;

/// A call that is made again later than this after it failed is a new one.
const RETRY_WITHIN_MS: f64 = 600_000.0;

/// The earlier calls of all projects.
#[derive(Debug, Default)]
pub(super) struct Joins(HashMap<ProjectId, Index>);

/// The earlier calls of one project.
#[derive(Debug, Default)]
struct Index {
    known: HashMap<MessageHash, Known>,
    /// In the order of their first sight; one that was forgotten meanwhile may still stand here.
    order: VecDeque<MessageHash>,
}

#[derive(Debug, Clone)]
struct Known {
    trace_id: String,
    retry: u32,
    at: Time,
}

/// A call that looks for its trace.
#[derive(Debug)]
pub(super) struct Looking<'a> {
    pub(super) asked: &'a Asked,
    /// What ties it to earlier ones, if it wants to be.
    pub(super) links: Option<Links>,
    /// What it has in common with its other attempts.
    pub(super) same: MessageHash,
    pub(super) at: Time,
}

/// Where a call belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) trace_id: String,
    pub(super) retry: u32,
}

impl Joins {
    /// Returns the trace of a call and which attempt it is; `new_trace` if it belongs to no other.
    pub(super) fn place(
        &self,
        project: &ProjectId,
        call: &Looking<'_>,
        new_trace: String,
    ) -> Place {
        let index = self.0.get(project);
        let find = |hash: &MessageHash| index.and_then(|index| index.known.get(hash));
        let is_soon = |known: &&Known| call.at.millis_since(known.at) <= RETRY_WITHIN_MS;
        let before = find(&call.same).filter(is_soon);
        let earlier = || {
            let links = call.links.as_ref()?;
            let response = links.previous_response_id.as_deref().map(of_response);
            let named = response.and_then(|hash| find(&hash));
            // All but the last: a call with the same messages is no continuation.
            let begun = links
                .history
                .split_last()
                .map_or(&[][..], |(_, begun)| begun);
            named.or_else(|| begun.iter().rev().find_map(find))
        };
        let trace_id = call.asked.trace_id.clone();
        let trace_id = trace_id.or_else(|| Some(before.or_else(earlier)?.trace_id.clone()));
        let retry = before.map_or(0, |known| known.retry.saturating_add(1));
        Place {
            trace_id: trace_id.unwrap_or(new_trace),
            retry: retry.max(call.asked.retry),
        }
    }

    /// Notes a call for those that follow it.
    pub(super) fn note(
        &mut self,
        project: &ProjectId,
        call: &Looking<'_>,
        place: &Place,
        has_failed: bool,
        response_id: Option<&str>,
    ) {
        let index = self.0.entry(project.clone()).or_default();
        let known = Known {
            trace_id: place.trace_id.clone(),
            retry: place.retry,
            at: call.at,
        };
        match has_failed {
            true => index.put(call.same, known.clone()),
            false => {
                index.known.remove(&call.same);
            }
        }
        if let Some(links) = &call.links {
            let response = response_id.map(of_response);
            let all = links.history.last().copied();
            for hash in [response, all].into_iter().flatten() {
                index.put(hash, known.clone());
            }
        }
    }
}

impl Index {
    fn put(&mut self, hash: MessageHash, known: Known) {
        if self.known.insert(hash, known).is_none() {
            self.order.push_back(hash);
        }
        while self.order.len() > HASHES_MAX {
            if let Some(oldest) = self.order.pop_front() {
                self.known.remove(&oldest);
            }
        }
    }
}

fn of_response(id: &str) -> MessageHash {
    MessageHash::of(format!("response {id}").as_bytes())
}

/// Returns what attempts at one call have in common: where it goes, and what it says.
pub(super) fn same(url: &str, request: &[u8]) -> MessageHash {
    let [url, request] = [url.as_bytes(), request].map(MessageHash::of);
    MessageHash::of(&[url.0, request.0].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes calls in turn and checks the trace and the attempt of each: history, names, failed.
    struct Calls {
        joins: Joins,
        made: u32,
        at: Time,
    }

    impl Calls {
        fn new() -> Self {
            Self {
                joins: Joins::default(),
                made: 0,
                at: Time::default(),
            }
        }

        fn check(
            &mut self,
            project: &str,
            said: &str,
            failed: bool,
            asked: Asked,
            want: (&str, u32),
        ) {
            let project = ProjectId::new(project).unwrap();
            let history = (1..=said.len()).map(|n| MessageHash::of(&said.as_bytes()[..n]));
            let links = Links {
                history: history.collect(),
                previous_response_id: None,
            };
            let call = Looking {
                links: asked.joins_history.then_some(links),
                asked: &asked,
                same: same("url", said.as_bytes()),
                at: self.at,
            };
            self.made += 1;
            let place = self
                .joins
                .place(&project, &call, format!("new{}", self.made));
            assert_eq!((place.trace_id.as_str(), place.retry), want, "{said}");
            self.joins.note(&project, &call, &place, failed, None);
        }
    }

    fn joining() -> Asked {
        Asked {
            joins_history: true,
            ..Asked::default()
        }
    }

    #[test]
    fn a_conversation_is_one_trace_if_that_is_wanted() {
        let mut calls = Calls::new();
        calls.check("a", "x", false, joining(), ("new1", 0));
        calls.check("a", "xyz", false, joining(), ("new1", 0));
        calls.check("a", "xyzuv", false, joining(), ("new1", 0));
        calls.check("a", "xab", false, joining(), ("new1", 0));
        calls.check("a", "y", false, joining(), ("new5", 0));
        calls.check("a", "xyzuvw", false, Asked::default(), ("new6", 0));
        calls.check("b", "xyz", false, joining(), ("new7", 0));
        calls.check("a", "xyz", false, joining(), ("new1", 0));
        calls.check("a", "x", false, joining(), ("new9", 0));
    }

    #[test]
    fn attempts_at_one_call_are_one_trace_and_are_counted() {
        let mut calls = Calls::new();
        let plain = Asked::default;
        calls.check("a", "x", true, plain(), ("new1", 0));
        calls.check("a", "x", true, plain(), ("new1", 1));
        calls.check("b", "x", false, plain(), ("new3", 0));
        calls.check("a", "x", false, plain(), ("new1", 2));
        calls.check("a", "x", false, plain(), ("new5", 0));
        let told = Asked {
            retry: 3,
            trace_id: Some("mine".to_owned()),
            ..plain()
        };
        calls.check("a", "z", true, told.clone(), ("mine", 3));
        calls.check("a", "z", true, told, ("mine", 4));
        calls.at = Time::from_micros(601_000_000);
        calls.check("a", "z", false, plain(), ("new8", 0));
    }

    #[test]
    fn a_response_is_found_by_its_id() {
        let mut joins = Joins::default();
        let project = ProjectId::new("p").unwrap();
        let asked = joining();
        let call = |previous: Option<&str>| Looking {
            asked: &asked,
            links: Some(Links {
                history: vec![MessageHash::of(previous.unwrap_or("").as_bytes())],
                previous_response_id: previous.map(str::to_owned),
            }),
            same: MessageHash::of(b"same"),
            at: Time::default(),
        };
        let first = joins.place(&project, &call(None), "t1".to_owned());
        joins.note(&project, &call(None), &first, false, Some("resp_1"));
        let next = joins.place(&project, &call(Some("resp_1")), "t2".to_owned());
        assert_eq!(next.trace_id, "t1");
        let other = joins.place(&project, &call(Some("resp_2")), "t2".to_owned());
        assert_eq!(other.trace_id, "t2");
    }

    #[test]
    fn no_more_is_known_than_there_may_be() {
        let mut index = Index::default();
        let hash = |n: usize| MessageHash::of(&n.to_le_bytes());
        for n in 0..HASHES_MAX + 10 {
            let known = Known {
                trace_id: n.to_string(),
                retry: 0,
                at: Time::default(),
            };
            index.put(hash(n), known);
            if n % 2 == 0 {
                index.known.remove(&hash(n));
            }
        }
        assert_eq!(index.order.len(), HASHES_MAX);
        assert!(index.known.len() <= HASHES_MAX);
        assert!(!index.known.contains_key(&hash(9)));
        assert!(index.known.contains_key(&hash(HASHES_MAX + 9)));
    }
}
