//! Were the tools that were called there, and given what they take?

use hashbrown::HashMap;
use model::{JsonText, SpanType};
use serde_json::Value;

use super::{Finding, MadeCall, NoScore, TrajectoryContext, TrajectoryGrader, share, some_of};
use crate::TraceView;

type Tools<'a> = HashMap<&'a str, Option<&'a JsonText>>;

/// What each agent was given, by its place, and what anybody was.
struct Declared<'a> {
    of_agents: HashMap<Option<u32>, Tools<'a>>,
    of_all: Tools<'a>,
}

/// Measures the share of calls of declared tools with arguments of the declared form.
pub(super) fn of(
    grader: &TrajectoryGrader,
    view: &TraceView,
    context: &TrajectoryContext<'_>,
) -> Result<Finding, NoScore> {
    let declared = Declared::in_trace(view);
    if declared.of_all.is_empty() {
        return Err(NoScore::not_applicable("no tools were declared"));
    }
    let made = grader.calls_made(view);
    if made.is_empty() {
        return Err(NoScore::not_applicable("no calls were made"));
    }
    let mut bad = Vec::new();
    let mut schemas = 0;
    for call in &made {
        match declared.problem(view, call, context) {
            Ok(checked) => schemas += usize::from(checked),
            Err(problem) => bad.push((call, problem)),
        }
    }
    let good = made.len() - bad.len();
    let mut reasoning = format!("{good} of {} calls valid", made.len());
    if !bad.is_empty() {
        let problems = bad
            .iter()
            .map(|(call, problem)| format!("{} {problem}", call.call.name));
        reasoning += &format!("; {}", some_of(problems));
    }
    if schemas < good {
        reasoning += &format!("; the arguments of {} could not be checked", good - schemas);
    }
    let cited = bad
        .iter()
        .map(|(call, _)| view.spans[call.at as usize].id().clone());
    Ok(Finding {
        score: share(good, made.len()),
        reasoning,
        citations: cited.collect(),
        vacuous: false,
    })
}

impl<'a> Declared<'a> {
    fn in_trace(view: &'a TraceView) -> Self {
        let mut of_agents: HashMap<Option<u32>, Tools<'_>> = HashMap::new();
        let mut of_all = Tools::new();
        for (at, span) in (0u32..).zip(&view.spans) {
            let agent = match span.is(SpanType::Agent) {
                true => Some(at),
                false => view.enclosing(at, SpanType::Agent),
            };
            for tool in span.told.tools.iter() {
                // an agent often tells the names only, its model calls the schemas
                for tools in [of_agents.entry(agent).or_default(), &mut of_all] {
                    let schema = tools.entry(&tool.name).or_default();
                    *schema = schema.or(tool.parameters.as_ref());
                }
            }
        }
        Self { of_agents, of_all }
    }

    /// Returns whether the arguments could be checked, or what is wrong with the call.
    fn problem(
        &self,
        view: &TraceView,
        made: &MadeCall,
        context: &TrajectoryContext<'_>,
    ) -> Result<bool, String> {
        let agent = view.enclosing(made.at, SpanType::Agent);
        let tools = self.of_agents.get(&agent).unwrap_or(&self.of_all);
        let name = made.call.name.as_str();
        let Some(schema) = tools.get(name) else {
            let elsewhere = self.of_all.contains_key(name);
            let problem = if elsewhere {
                "is declared by another agent"
            } else {
                "is not declared"
            };
            return Err(problem.to_owned());
        };
        let schema = schema.or_else(|| self.of_all.get(name).copied().flatten());
        let (Some(schema), Some(check)) = (schema, context.schema_check) else {
            return Ok(false);
        };
        let told = super::arguments(&view.spans[made.at as usize]);
        let Some(arguments) = told else {
            return Ok(false);
        };
        let arguments = if arguments.is_null() {
            Value::Object(serde_json::Map::new())
        } else {
            arguments
        };
        check(schema, &arguments).map(|()| true)
    }
}

#[cfg(test)]
mod tests {
    use model::Outcome;
    use serde_json::json;

    use super::super::scenes::{Scene, call};
    use super::super::{Metric, TrajectoryGrader};
    use super::*;
    use crate::Effects;

    #[test]
    fn a_call_is_valid_if_its_agent_declares_it_and_its_schema_takes_it() {
        let schema = json!({"required": ["to"]});
        let scene = Scene::default()
            .agent("Triage", &[("look", None)])
            .call(call("look", json!({})))
            .agent("Sales", &[("book", Some(schema))])
            .call(call("book", json!({"to": "Rome"})))
            .call(call("book", json!({})))
            .call(call("look", json!({})))
            .call(call("fly", json!({})));
        let required = |schema: &JsonText, arguments: &Value| {
            let schema = schema.to_value();
            let names = schema["required"].as_array().unwrap();
            let missing = names
                .iter()
                .find(|name| arguments.get(name.as_str().unwrap()).is_none());
            missing.map_or(Ok(()), |name| Err(format!("lacks {name}")))
        };
        let effects = Effects::default();
        let context = TrajectoryContext {
            schema_check: Some(&required),
            ..TrajectoryContext::new(&effects)
        };
        let grader = TrajectoryGrader::new(Metric::ToolValidity);
        let verdict = grader.grade(&scene.view(), &context);
        assert_eq!(verdict.score, Some(0.4));
        assert_eq!(
            verdict.reasoning.as_deref(),
            Some(
                "2 of 5 calls valid; book lacks \"to\", look is declared by another agent, fly is not \
                 declared; the arguments of 1 could not be checked"
            )
        );
        let cited: Vec<&str> = verdict.citations.iter().map(|id| id.as_str()).collect();
        assert_eq!(cited, ["s4", "s5", "s6"]);
    }

    #[test]
    fn where_nothing_was_declared_there_is_no_verdict() {
        let scene = Scene::default().call(call("look", json!({})));
        let verdict = scene.grade(&TrajectoryGrader::new(Metric::ToolValidity));
        assert_eq!(verdict.outcome, Outcome::NotApplicable);
    }
}
