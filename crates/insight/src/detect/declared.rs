//! Which tools were declared, to whom: what D05, D06 and D29 hold calls against.
//!
//! One table of names for each agent span and one for the run: linear in what was declared.

use std::collections::{HashMap, HashSet};

use model::JsonText;

use super::facts::{Call, Facts};

/// A tool has so many different schemas in one run, at most.
const SCHEMAS_MAX: usize = 4;

/// What was declared, to whom.
#[derive(Debug)]
pub(super) struct Declared<'v> {
    /// The tools of each agent span.
    pub(super) by_agent: HashMap<u32, HashSet<&'v str>>,
    /// Those of the run as a whole.
    pub(super) run: HashSet<&'v str>,
    /// The schemas of each tool that are different texts.
    pub(super) schemas: HashMap<&'v str, Vec<&'v JsonText>>,
}

impl<'v> Declared<'v> {
    pub(super) fn of(facts: &Facts<'v>) -> Self {
        let mut declared = Self {
            by_agent: HashMap::new(),
            run: HashSet::new(),
            schemas: HashMap::new(),
        };
        for (at, span) in (0u32..).zip(&facts.view.spans) {
            let agent = facts.agent(at);
            for tool in span.told.tools.iter() {
                let name = plain(&tool.name);
                declared.run.insert(name);
                if let Some(agent) = agent {
                    declared.by_agent.entry(agent).or_default().insert(name);
                }
                if let Some(schema) = &tool.parameters {
                    let known = declared.schemas.entry(name).or_default();
                    if known.len() < SCHEMAS_MAX && !known.contains(&schema) {
                        known.push(schema);
                    }
                }
            }
        }
        declared
    }

    /// Returns the tools of the agent that makes a call, if they were told.
    pub(super) fn of_agent(&self, facts: &Facts<'_>, call: &Call<'_>) -> Option<&HashSet<&'v str>> {
        self.by_agent.get(&facts.agent(call.at)?)
    }
}

/// Returns a tool's name without the server or module before it.
pub(super) fn plain(name: &str) -> &str {
    let name = name.rsplit(['.', '/', ':']).next().unwrap_or(name);
    name.rsplit("__").next().unwrap_or(name)
}
