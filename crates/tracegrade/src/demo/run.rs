//! The stage: plays beats as an Agents SDK run, and so adds spans, time, tokens and history.
//!
//! The tree is the SDK's own: task, then agents as siblings, then turns, then model calls, tools,
//! handoffs and guardrails. It is neutral as to the wire; [`super::wire`] writes it down.

use model::Time;

use super::cast::{Agent, KB_SERVER, Version};
use super::plot::{Beat, Call, Reply};
use super::prng::Prng;
use super::trace::{Fault, Item, ModelCall, Output, Span, ToolCall, Usage, What};
use super::wire::Prompts;

/// Plays runs into the spans of one trace.
#[derive(Debug)]
pub(super) struct Stage<'a> {
    prompts: &'a Prompts,
    prng: Prng,
    version: Version,
    workflow: &'static str,
    now: Time,
    items: Vec<Item>,
    spans: Vec<Span>,
    /// Indices of the items that the agent at work sends with its next call.
    context: Vec<u32>,
    /// Agent and input tokens of the last model call: what the provider may have cached.
    last_call: Option<(Agent, usize)>,
    /// The worker is dead: nothing ends any more.
    dead: bool,
}

/// The state of one run of the SDK's runner.
struct Run {
    task: usize,
    agent: Agent,
    agent_span: usize,
    turn: usize,
    usage: Usage,
}

/// What a turn leads to.
enum Next {
    Turn,
    Agent(Agent),
    /// An answer: output guardrails follow.
    Answered,
    End,
}

/// The guardrails that trip in a run, if any.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Blocks {
    pub(super) input: Option<&'static str>,
    pub(super) output: Option<&'static str>,
}

impl<'a> Stage<'a> {
    /// Returns an empty stage at `now`.
    pub(super) fn new(
        prompts: &'a Prompts,
        prng: Prng,
        version: Version,
        workflow: &'static str,
        now: Time,
    ) -> Self {
        Self {
            prompts,
            prng,
            version,
            workflow,
            now,
            items: Vec::new(),
            spans: Vec::new(),
            context: Vec::new(),
            last_call: None,
            dead: false,
        }
    }

    /// Returns what was played.
    pub(super) fn finish(self) -> (Vec<Item>, Vec<Span>) {
        (self.items, self.spans)
    }

    /// Adds a message to what the agent at work sends.
    pub(super) fn hear(&mut self, item: Item) {
        self.context.push(self.items.len() as u32);
        self.items.push(item);
    }

    /// Adds an answer that was given in an earlier trace of the conversation.
    pub(super) fn remember(&mut self, text: &str) {
        let id = self.prng.id("msg_", 32);
        self.hear(Item::Answer {
            id,
            text: text.to_owned(),
        });
    }

    /// Forgets the history: the next run starts afresh.
    pub(super) fn forget(&mut self) {
        self.context.clear();
    }

    /// Returns the moment that the play has reached.
    pub(super) fn now(&self) -> Time {
        self.now
    }

    /// Goes back to `now`, for what happens side by side.
    pub(super) fn rewind(&mut self, now: Time) {
        self.now = now;
    }

    /// Returns how many spans there are.
    pub(super) fn spans(&self) -> usize {
        self.spans.len()
    }

    fn pass(&mut self, ms: f64) {
        self.now = self.now.plus_micros((ms * 1e3) as i64);
    }

    /// Lets about `ms` milliseconds pass.
    pub(super) fn pass_about(&mut self, ms: f64, sigma: f64) {
        let ms = self.prng.lognormal(ms, sigma).max(0.05);
        self.pass(ms);
    }

    /// Opens a span below `parent` and returns its index.
    pub(super) fn open(&mut self, parent: Option<usize>, what: What) -> usize {
        self.pass_about(0.9, 0.6);
        let id = self.prng.id("span_", 24);
        self.spans.push(Span {
            id,
            parent,
            start: self.now,
            end: None,
            what,
            fault: None,
        });
        self.spans.len() - 1
    }

    /// Ends the span, unless the worker is dead.
    pub(super) fn close(&mut self, span: usize) {
        if !self.dead {
            self.pass_about(0.6, 0.6);
            self.spans[span].end = Some(self.now);
        }
    }

    /// Attaches an error to a span.
    pub(super) fn fault(
        &mut self,
        span: usize,
        message: &'static str,
        data: serde_json::Value,
        sensitive: bool,
    ) {
        self.spans[span].fault = Some(Fault {
            message,
            data,
            sensitive,
        });
    }

    /// Plays one run of the runner below `parent` and returns its tokens.
    pub(super) fn run(
        &mut self,
        parent: Option<usize>,
        first: Agent,
        beats: Vec<Beat>,
        blocks: Blocks,
    ) -> Usage {
        let task = self.open(
            parent,
            What::Task {
                name: self.workflow,
                usage: Usage::default(),
            },
        );
        let agent_span = self.open(Some(task), What::Agent(first));
        let mut run = Run {
            task,
            agent: first,
            agent_span,
            turn: 0,
            usage: Usage::default(),
        };
        if blocks.input.is_some() {
            self.blocked_turn(&run, blocks);
        }
        for beat in beats {
            match self.turn(&mut run, beat, blocks) {
                Next::Turn => {}
                Next::Agent(agent) => {
                    self.close(run.agent_span);
                    run.agent = agent;
                    run.agent_span = self.open(Some(run.task), What::Agent(agent));
                }
                Next::Answered => self.guard_output(&run, parent.is_none(), blocks),
                Next::End => break,
            }
        }
        self.close(run.agent_span);
        if let What::Task { usage, .. } = &mut self.spans[run.task].what {
            *usage = run.usage;
        }
        self.close(run.task);
        run.usage
    }

    /// A first turn that an input guardrail stops before the model is called.
    fn blocked_turn(&mut self, run: &Run, blocks: Blocks) {
        let what = What::Turn {
            number: 1,
            agent: run.agent,
            usage: Usage::default(),
        };
        let turn = self.open(Some(run.agent_span), what);
        self.guardrails(turn, &["pii_scan", "jailbreak_check"], blocks.input, true);
        self.close(turn);
    }

    fn turn(&mut self, run: &mut Run, beat: Beat, blocks: Blocks) -> Next {
        if let Beat::MaxTurns = beat {
            let data = serde_json::json!({"max_turns": run.turn});
            self.fault(run.agent_span, "Max turns exceeded", data, false);
            return Next::End;
        }
        run.turn += 1;
        let what = What::Turn {
            number: run.turn,
            agent: run.agent,
            usage: Usage::default(),
        };
        let turn = self.open(Some(run.agent_span), what);
        let outermost = self.spans[run.task].parent.is_none();
        if run.turn == 1 && outermost && run.agent == Agent::Triage {
            self.guardrails(turn, &["pii_scan", "jailbreak_check"], blocks.input, true);
        }
        self.list_tools(turn, run);
        let before = run.usage;
        let next = self.act(turn, run, beat);
        if let What::Turn { usage, .. } = &mut self.spans[turn].what {
            *usage = run.usage;
            usage.input -= before.input;
            usage.cached -= before.cached;
            usage.output -= before.output;
            usage.reasoning -= before.reasoning;
            usage.requests -= before.requests;
        }
        self.close(turn);
        next
    }

    fn act(&mut self, turn: usize, run: &mut Run, beat: Beat) -> Next {
        match beat {
            Beat::Calls(thought, calls) => self.call_tools(turn, run, thought, calls),
            Beat::Cut(call) => {
                self.call_tools(
                    turn,
                    run,
                    None,
                    vec![Call {
                        reply: Reply::Text(String::new()),
                        ..call
                    }],
                );
                self.leave_open(turn);
                Next::End
            }
            Beat::Handoff(to) => self.hand_over(turn, run, to),
            Beat::Answer(text) => {
                self.say(turn, run, text, false);
                Next::Answered
            }
            Beat::Truncated(text) => {
                self.say(turn, run, text, true);
                Next::Answered
            }
            Beat::ModelFails(error) => {
                self.model_fails(turn, run, error);
                Next::End
            }
            Beat::NoSuchTool(name) => {
                let call = self.call_item(name, "{\"reason\":\"customer request\"}");
                run.usage += self.model(turn, run.agent, vec![call], false);
                self.fault(
                    turn,
                    "Tool not found",
                    serde_json::json!({"tool_name": name}),
                    false,
                );
                Next::End
            }
            // Met before a turn begins.
            Beat::MaxTurns => Next::End,
        }
    }

    /// The last tool below `turn` and everything around it stay open for ever.
    fn leave_open(&mut self, turn: usize) {
        self.dead = true;
        for span in self.spans.iter_mut().skip(turn + 1) {
            match &mut span.what {
                What::Tool(call) => call.output = Output::Nothing,
                What::Custom { data, .. } => *data = serde_json::json!({}),
                _ => continue,
            }
            span.end = None;
        }
    }

    fn say(&mut self, turn: usize, run: &mut Run, text: String, incomplete: bool) {
        let id = self.prng.id("msg_", 32);
        run.usage += self.model(turn, run.agent, vec![Item::Answer { id, text }], incomplete);
    }

    fn call_item(&mut self, name: &str, arguments: &str) -> Item {
        let id = self.prng.id("fc_", 32);
        let call_id = self.prng.id("call_", 24);
        Item::Call {
            id,
            call_id,
            name: name.to_owned(),
            arguments: arguments.to_owned(),
        }
    }

    fn model_fails(&mut self, turn: usize, run: &Run, error: &'static str) {
        let call = ModelCall {
            agent: run.agent,
            response_id: String::new(),
            input: self.context.clone(),
            output: 0..0,
            usage: Usage::default(),
            ttft_ms: 0.0,
            incomplete: false,
        };
        let span = self.open(Some(turn), What::Model(Box::new(call)));
        self.pass_about(6_000.0, 0.5);
        let data = serde_json::json!({"error": error});
        self.fault(span, "Error getting response", data.clone(), true);
        self.close(span);
        self.fault(run.agent_span, "Error in agent run", data, true);
    }

    /// One model call that answers with `output`; the answer becomes part of the history.
    fn model(&mut self, turn: usize, agent: Agent, output: Vec<Item>, incomplete: bool) -> Usage {
        let input = self.context.clone();
        let history: usize = input.iter().map(|i| self.items[*i as usize].bytes()).sum();
        let fixed = self.prompts.tokens(agent, self.version);
        let usage = self.tokens(agent, fixed, fixed + history / 4, &output);
        let (ttft, per_second) = match agent.model() {
            "gpt-5-mini" => (520.0, 115.0),
            "gpt-4.1" => (610.0, 85.0),
            _ => (1_050.0, 72.0),
        };
        let ttft_ms = self.prng.lognormal(ttft, 0.35) + usage.reasoning as f64 / per_second * 200.0;
        let from = self.items.len();
        let call = ModelCall {
            agent,
            response_id: self.prng.id("resp_", 48),
            input,
            output: from..from + output.len(),
            usage,
            ttft_ms: (ttft_ms * 10.0).round() / 10.0,
            incomplete,
        };
        let span = self.open(Some(turn), What::Model(Box::new(call)));
        self.pass(ttft_ms + usage.output as f64 / per_second * 1_000.0);
        output.into_iter().for_each(|item| self.hear(item));
        self.close(span);
        usage
    }

    fn tokens(&mut self, agent: Agent, fixed: usize, input: usize, output: &[Item]) -> Usage {
        // Providers cache whole blocks of 128 tokens of a prefix of 1,024 or more; instructions and
        // schemas stay warm between runs more often than not.
        let prefix = match self.last_call {
            Some((last, tokens)) if last == agent => tokens,
            _ if self.prng.chance(0.7) => fixed,
            _ => 0,
        };
        self.last_call = Some((agent, input));
        let written: usize = output.iter().map(Item::bytes).sum();
        let reasoning = if agent.reasons() {
            64 * self.prng.below(3)
        } else {
            0
        };
        Usage {
            requests: 1,
            input,
            cached: if prefix >= 1_024 {
                prefix.min(input) / 128 * 128
            } else {
                0
            },
            output: written / 4 + reasoning,
            reasoning,
        }
    }

    fn hand_over(&mut self, turn: usize, run: &mut Run, to: Agent) -> Next {
        let call = self.call_item(&to.handoff_tool(), "{}");
        let Item::Call { call_id, .. } = &call else {
            return Next::End;
        };
        let call_id = call_id.clone();
        run.usage += self.model(turn, run.agent, vec![call], false);
        let span = self.open(
            Some(turn),
            What::Handoff {
                from: run.agent,
                to,
            },
        );
        self.pass_about(22.0, 0.4);
        self.close(span);
        self.hear(Item::Output {
            call_id,
            text: format!("{{\"assistant\": \"{}\"}}", to.name()),
        });
        if to == Agent::Refunds {
            // The handoff filter of Refunds: who pays starts from the customer's words alone.
            let items = &self.items;
            self.context
                .retain(|i| matches!(items[*i as usize], Item::User(_) | Item::Answer { .. }));
        }
        Next::Agent(to)
    }

    fn call_tools(
        &mut self,
        turn: usize,
        run: &mut Run,
        thought: Option<String>,
        calls: Vec<Call>,
    ) -> Next {
        let mut output = Vec::with_capacity(calls.len() + 1);
        if let Some(text) = thought.filter(|_| run.agent.reasons()) {
            output.push(Item::Reasoning {
                id: self.prng.id("rs_", 32),
                text,
            });
        }
        let mut ids = Vec::with_capacity(calls.len());
        for call in &calls {
            let item = self.call_item(call.tool.name, &call.arguments);
            if let Item::Call { call_id, .. } = &item {
                ids.push(call_id.clone());
            }
            output.push(item);
        }
        run.usage += self.model(turn, run.agent, output, false);
        let (begin, mut end, mut next) = (self.now, self.now, Next::Turn);
        let mut results = Vec::with_capacity(calls.len());
        for call in calls {
            self.now = begin;
            let (text, fatal) = self.tool(turn, run, call);
            results.push(text);
            end = end.max(self.now);
            if fatal {
                next = Next::End;
            }
        }
        self.now = end;
        for (call_id, text) in ids.into_iter().zip(results) {
            self.hear(Item::Output { call_id, text });
        }
        next
    }

    /// Plays one tool call; returns what the model is told, and whether the run ends with it.
    fn tool(&mut self, turn: usize, run: &mut Run, call: Call) -> (String, bool) {
        let tool = call.tool;
        let what = What::Tool(ToolCall {
            name: tool.name,
            arguments: call.arguments.clone(),
            output: Output::Nothing,
            server: tool.server,
        });
        let span = self.open(Some(turn), what);
        let stalls = matches!(call.reply, Reply::TimedOut(_) | Reply::Fatal(_));
        let below = tool.below.map(|name| {
            let data =
                serde_json::json!({"status": if stalls { "deadline exceeded" } else { "ok" }});
            self.open(
                Some(span),
                What::Custom {
                    name: name.to_owned(),
                    data,
                },
            )
        });
        match stalls {
            true => self.pass_about(10_010.0, 0.002),
            false => self.pass_about(tool.median_ms, 0.45),
        }
        if let Some(below) = below {
            self.close(below);
        }
        let (output, text, fatal) = self.reply(span, run, call);
        if let What::Tool(call) = &mut self.spans[span].what {
            call.output = output;
        }
        self.close(span);
        (text, fatal)
    }

    fn reply(&mut self, span: usize, run: &mut Run, call: Call) -> (Output, String, bool) {
        let name = call.tool.name;
        match call.reply {
            Reply::Json(text) => (Output::Json(text.clone()), text, false),
            Reply::Text(text) => (Output::Text(text.clone()), text, false),
            Reply::Failed(error) | Reply::TimedOut(error) => {
                let data = serde_json::json!({"tool_name": name, "error": error});
                self.fault(span, "Error running tool (non-fatal)", data, true);
                let told = format!(
                    "An error occurred while running the tool. Please try again. Error: {error}"
                );
                (Output::Text(told.clone()), told, false)
            }
            Reply::Fatal(error) => {
                let data = serde_json::json!({"tool_name": name, "error": error});
                self.fault(span, "Error running tool", data, true);
                let of_agent =
                    serde_json::json!({"error": format!("Error running tool {name}: {error}")});
                self.fault(run.agent_span, "Error in agent run", of_agent, true);
                (Output::Nothing, error.to_owned(), true)
            }
            Reply::Expert(agent, beats) => {
                let answer = match beats.last() {
                    Some(Beat::Answer(text)) => text.clone(),
                    _ => String::new(),
                };
                let outer = std::mem::take(&mut self.context);
                self.hear(Item::User(call.arguments));
                run.usage += self.run(Some(span), agent, beats, Blocks::default());
                self.context = outer;
                (Output::Json(answer.clone()), answer, false)
            }
        }
    }

    /// Lists the tools of the agent's MCP server in its first turn; the SDK caches the list.
    fn list_tools(&mut self, turn: usize, run: &Run) {
        let tools = run
            .agent
            .tools(self.version)
            .iter()
            .filter(|tool| tool.server == Some(KB_SERVER));
        let tools: Vec<_> = tools.map(|tool| tool.name).collect();
        let is_first = !self.spans.iter().any(|span| matches!(&span.what, What::Turn { agent, .. } if *agent == run.agent && span.end.is_some()));
        if is_first && !tools.is_empty() {
            let span = self.open(
                Some(turn),
                What::McpTools {
                    server: KB_SERVER,
                    tools,
                },
            );
            self.pass_about(24.0, 0.4);
            self.close(span);
        }
    }

    fn guard_output(&mut self, run: &Run, outermost: bool, blocks: Blocks) {
        if outermost && run.agent != Agent::Coder {
            self.guardrails(
                run.agent_span,
                &["policy_claims", "tone_check"],
                blocks.output,
                false,
            );
        }
    }

    /// Runs guardrails side by side below `parent`, which gets the error if one trips.
    fn guardrails(
        &mut self,
        parent: usize,
        names: &[&'static str],
        trips: Option<&str>,
        quick: bool,
    ) {
        let (begin, mut end) = (self.now, self.now);
        for name in names {
            self.now = begin;
            let triggered = trips == Some(*name);
            let span = self.open(Some(parent), What::Guardrail { name, triggered });
            self.pass_about(if quick { 310.0 } else { 640.0 }, 0.4);
            self.close(span);
            end = end.max(self.now);
            if triggered {
                let data = serde_json::json!({"guardrail": name});
                self.fault(parent, "Guardrail tripwire triggered", data, false);
            }
        }
        self.now = end;
    }
}
