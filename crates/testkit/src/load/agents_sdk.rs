//! An agent's turns as items of the Agents SDK: the model is asked with all that was said so far.

use super::{Items, MODELS, Piece, Shape, Sketch, TOOLS, WORKFLOWS};
use crate::prng::Prng;
use crate::words;

/// Writes one trace.
pub(super) struct Pen {
    pub(super) shape: Shape,
    pub(super) prng: Prng,
    /// The first 24 digits of the trace's id.
    pub(super) id: String,
    pub(super) workflow: &'static str,
    pub(super) model: &'static str,
    /// Whether the model is asked by the Responses API; if not, by chat completions.
    responses: bool,
    pub(super) instructions: Piece,
    pub(super) history: Piece,
    /// Microseconds since the trace began.
    pub(super) clock: i64,
    spans: u32,
    items: Vec<Piece>,
}

impl Pen {
    pub(super) fn new(shape: Shape, seed: u64) -> Self {
        let mut prng = Prng::new(seed);
        let id = format!("{:016x}{:08x}", prng.next(), prng.next() as u32);
        let number = prng.below(WORKFLOWS.len());
        // Those of one workflow are the same from trace to trace.
        let mut instructions = Piece::default();
        instructions.text("You are the agent of the ");
        words::write(
            &mut instructions.bytes,
            &mut Prng::new(number as u64),
            shape.instructions,
        );
        Self {
            shape,
            id,
            workflow: WORKFLOWS[number],
            model: MODELS[prng.below(MODELS.len())],
            responses: prng.below(2) == 0,
            prng,
            instructions,
            history: Piece::default(),
            clock: 0,
            spans: 0,
            items: Vec::new(),
        }
    }

    pub(super) fn write(mut self) -> Items {
        self.trace();
        self.agent(None);
        self.history = self.message("user");
        for turn in 1..=self.shape.turns {
            self.turn(turn == self.shape.turns);
        }
        self.end()
    }

    pub(super) fn write_tree(mut self, spans: usize) -> Items {
        self.trace();
        self.agent(None);
        let mut parent = 1;
        while (self.spans as usize) < spans {
            if self.spans % 101 == 1 {
                self.agent(Some(1));
                parent = self.spans;
            } else {
                let call = self.call();
                self.tool(&call, parent);
            }
        }
        self.end()
    }

    fn end(self) -> Items {
        Items {
            sketch: Sketch {
                prefix: format!("trace_{}", self.id),
                spans: self.spans as usize,
            },
            items: self.items,
        }
    }

    fn trace(&mut self) {
        let mut item = Piece::default();
        let (user, group) = (self.prng.below(50_000), self.prng.next());
        item.text("{\"object\":\"trace\",\"id\":\"trace_")
            .text(&self.id)
            .stamp()
            .text(&format!(
                "\",\"workflow_name\":\"{}\",\"group_id\":\"thread_{group:016x}\",\"metadata\":{{\"user_id\":\"user_{user}\",\"environment\":\"production\"}}}}",
                self.workflow
            ));
        self.items.push(item);
    }

    fn agent(&mut self, parent: Option<u32>) {
        let mut item = self.span(parent, 200);
        item.text(&format!(
            "{{\"type\":\"agent\",\"name\":\"{}\",\"handoffs\":[],\"tools\":[\"{}\"],\"output_type\":\"str\"}},\"error\":null}}",
            self.workflow,
            TOOLS.join("\",\"")
        ));
        self.items.push(item);
    }

    /// One call of the model, and the tools that it asks for.
    fn turn(&mut self, is_last: bool) {
        let calls: Vec<Call> = match is_last {
            true => Vec::new(),
            false => (0..self.shape.tools).map(|_| self.call()).collect(),
        };
        let answer = match calls.is_empty() {
            true => self.message("assistant"),
            false => self.requests(&calls),
        };
        let micros = 400_000 + self.prng.below(3_000_000) as i64;
        let mut item = self.span(Some(1), micros);
        if self.responses {
            self.response(&mut item, &answer);
        } else {
            self.generation(&mut item, &answer);
        }
        self.items.push(item);
        self.history.text(",").piece(&answer);
        for call in &calls {
            self.tool(call, 1);
            let told = self.told(call);
            self.history.text(",").piece(&told);
        }
    }

    fn tool(&mut self, call: &Call, parent: u32) {
        let micros = 2_000 + self.prng.below(400_000) as i64;
        let mut item = self.span(Some(parent), micros);
        item.text("{\"type\":\"function\",\"name\":\"")
            .text(call.name)
            .text("\",\"input\":\"")
            .piece(&call.arguments)
            .text("\",\"output\":\"")
            .piece(&call.output)
            .text("\",\"mcp_data\":null},\"error\":null}");
        self.items.push(item);
    }

    /// Begins the next span; what follows is its `span_data`.
    fn span(&mut self, parent: Option<u32>, micros: i64) -> Piece {
        self.spans += 1;
        let mut item = Piece::default();
        let short = &self.id[..8];
        item.text("{\"object\":\"trace.span\",\"id\":\"span_")
            .text(&format!("{short}{:08x}", self.spans))
            .stamp()
            .text("\",\"trace_id\":\"trace_")
            .text(&self.id)
            .stamp()
            .text("\",\"parent_id\":");
        match parent {
            Some(parent) => item
                .text(&format!("\"span_{short}{parent:08x}"))
                .stamp()
                .text("\""),
            None => item.text("null"),
        };
        item.text(",\"started_at\":\"").time(self.clock);
        self.clock += micros;
        item.text("\",\"ended_at\":\"")
            .time(self.clock)
            .text("\",\"span_data\":");
        item
    }

    fn generation(&mut self, item: &mut Piece, answer: &Piece) {
        let usage = self.usage();
        item.text("{\"type\":\"generation\",\"input\":[{\"content\":\"")
            .piece(&self.instructions)
            .text("\",\"role\":\"system\"},")
            .piece(&self.history)
            .text("],\"output\":[")
            .piece(answer)
            .text("],\"model\":\"")
            .text(self.model)
            .text("\",\"model_config\":{\"temperature\":0.2,\"top_p\":null,\"tool_choice\":null,\"parallel_tool_calls\":null,\"max_tokens\":null,\"base_url\":\"https://api.openai.com/v1/\"},\"usage\":")
            .text(&usage)
            .text("},\"error\":null}");
    }

    fn response(&mut self, item: &mut Piece, answer: &Piece) {
        let usage = self.usage();
        let id = format!("resp_{:016x}", self.prng.next());
        item.text("{\"type\":\"response\",\"response_id\":\"")
            .text(&id)
            .stamp()
            .text("\",\"usage\":")
            .text(&usage)
            .text(",\"input\":[")
            .piece(&self.history)
            .text("],\"response\":{\"id\":\"")
            .text(&id)
            .stamp()
            .text("\",\"created_at\":1767323045.0,\"error\":null,\"incomplete_details\":null,\"instructions\":\"")
            .piece(&self.instructions)
            .text("\",\"metadata\":{},\"model\":\"")
            .text(self.model)
            .text("\",\"object\":\"response\",\"output\":[")
            .piece(answer)
            .text("],\"parallel_tool_calls\":true,\"temperature\":1.0,\"tool_choice\":\"auto\",\"tools\":[],\"top_p\":1.0,\"status\":\"completed\",\"text\":{\"format\":{\"type\":\"text\"}},\"truncation\":\"disabled\",\"usage\":")
            .text(&usage)
            .text(",\"user\":null,\"store\":true}},\"error\":null}");
    }

    fn usage(&mut self) -> String {
        let input = self.history.bytes.len() / 4 + self.instructions.bytes.len() / 4;
        let output = 20 + self.prng.below(200);
        format!(
            "{{\"requests\":1,\"input_tokens\":{input},\"output_tokens\":{output},\"total_tokens\":{},\"input_tokens_details\":{{\"cached_tokens\":{}}},\"output_tokens_details\":{{\"reasoning_tokens\":{}}}}}",
            input + output,
            input / 2,
            output / 3
        )
    }

    /// Returns words that no other message has.
    pub(super) fn said(&mut self, count: usize) -> Piece {
        let mut piece = Piece::default();
        piece.text("Ref ").stamp().text(": ");
        words::write(&mut piece.bytes, &mut self.prng, count.max(1));
        piece
    }

    fn message(&mut self, role: &str) -> Piece {
        let text = self.said(self.shape.words / 2);
        let mut message = Piece::default();
        if self.responses && role == "assistant" {
            message
                .text(&format!("{{\"id\":\"msg_{:016x}", self.prng.next()))
                .stamp()
                .text("\",\"content\":[{\"annotations\":[],\"text\":\"")
                .piece(&text)
                .text("\",\"type\":\"output_text\",\"logprobs\":[]}],\"role\":\"assistant\",\"status\":\"completed\",\"type\":\"message\"}");
        } else {
            message
                .text("{\"content\":\"")
                .piece(&text)
                .text(&format!("\",\"role\":\"{role}\"}}"));
        }
        message
    }

    fn call(&mut self) -> Call {
        let mut id = Piece::default();
        id.text(&format!("call_{:016x}", self.prng.next())).stamp();
        let mut arguments = Piece::default();
        arguments.text(&format!(
            "{{\\\"order\\\":{},\\\"question\\\":\\\"",
            self.prng.below(1_000_000)
        ));
        let question = self.said(self.shape.words / 8);
        // A line break in a string in a string has one backslash more.
        let question_text = String::from_utf8_lossy(&question.bytes).replace("\\n", "  ");
        arguments
            .piece(&Piece {
                bytes: question_text.into_bytes(),
                ..question
            })
            .text("\\\"}");
        Call {
            id,
            name: TOOLS[self.prng.below(TOOLS.len())],
            arguments,
            output: self.said(self.shape.words),
        }
    }

    /// Returns the answer of a model that asks for tools.
    fn requests(&mut self, calls: &[Call]) -> Piece {
        let mut answer = Piece::default();
        if !self.responses {
            answer.text("{\"content\":null,\"role\":\"assistant\",\"tool_calls\":[");
        }
        for (number, call) in calls.iter().enumerate() {
            if number > 0 {
                answer.text(",");
            }
            if self.responses {
                answer
                    .text("{\"arguments\":\"")
                    .piece(&call.arguments)
                    .text("\",\"call_id\":\"")
                    .piece(&call.id)
                    .text("\",\"name\":\"")
                    .text(call.name)
                    .text(&format!(
                        "\",\"type\":\"function_call\",\"id\":\"fc_{:016x}",
                        self.prng.next()
                    ))
                    .stamp()
                    .text("\",\"status\":\"completed\"}");
            } else {
                answer
                    .text("{\"id\":\"")
                    .piece(&call.id)
                    .text("\",\"type\":\"function\",\"function\":{\"name\":\"")
                    .text(call.name)
                    .text("\",\"arguments\":\"")
                    .piece(&call.arguments)
                    .text("\"}}");
            }
        }
        if !self.responses {
            answer.text("]}");
        }
        answer
    }

    /// Returns the message that tells the model what a tool said.
    fn told(&self, call: &Call) -> Piece {
        let mut message = Piece::default();
        if self.responses {
            message
                .text("{\"call_id\":\"")
                .piece(&call.id)
                .text("\",\"output\":\"")
                .piece(&call.output)
                .text("\",\"type\":\"function_call_output\"}");
        } else {
            message
                .text("{\"role\":\"tool\",\"tool_call_id\":\"")
                .piece(&call.id)
                .text("\",\"content\":\"")
                .piece(&call.output)
                .text("\"}");
        }
        message
    }
}

/// A tool's call.
struct Call {
    id: Piece,
    name: &'static str,
    arguments: Piece,
    output: Piece,
}
