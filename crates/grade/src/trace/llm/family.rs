//! Of which family is a model? Judges like what their own family writes.

/// Beginnings of names, and who makes such models: one maker gives several.
const MAKERS: [(&str, &str); 25] = [
    ("gpt", "openai"),
    ("chatgpt", "openai"),
    ("codex", "openai"),
    ("davinci", "openai"),
    ("o1", "openai"),
    ("o3", "openai"),
    ("o4", "openai"),
    ("claude", "anthropic"),
    ("gemini", "google"),
    ("gemma", "google"),
    ("palm", "google"),
    ("llama", "meta"),
    ("meta-llama", "meta"),
    ("mistral", "mistral"),
    ("mixtral", "mistral"),
    ("ministral", "mistral"),
    ("magistral", "mistral"),
    ("codestral", "mistral"),
    ("qwen", "alibaba"),
    ("qwq", "alibaba"),
    ("deepseek", "deepseek"),
    ("grok", "xai"),
    ("command", "cohere"),
    ("phi", "microsoft"),
    ("nova", "amazon"),
];

/// Returns the maker of a model, as far as its name tells: a known one, else what stands before the first
/// digit or dash.
pub(super) fn family(model: &str) -> &str {
    let name = model.rsplit('/').next().unwrap_or(model);
    let starts = |beginning: &str| {
        let head = name.get(..beginning.len());
        head.is_some_and(|head| head.eq_ignore_ascii_case(beginning))
    };
    if let Some((_, maker)) = MAKERS.iter().find(|(beginning, _)| starts(beginning)) {
        return maker;
    }
    let end = name.find(|c: char| c == '-' || c.is_ascii_digit());
    &name[..end.unwrap_or(name.len())]
}

#[cfg(test)]
mod tests {
    use super::family;

    #[test]
    fn models_of_one_maker_are_a_family() {
        for (one, other, are_kin) in [
            ("gpt-5-mini", "o3", true),
            ("openai/gpt-4.1", "GPT-4o", true),
            ("claude-sonnet-4", "anthropic/claude-opus-4", true),
            ("gemini-2.5-pro", "gemma-3", true),
            ("gpt-5", "claude-opus-4", false),
            ("fernhollow-judge", "fernhollow-2", true),
            ("fernhollow-judge", "gpt-5", false),
            ("", "gpt-5", false),
        ] {
            assert_eq!(family(one) == family(other), are_kin, "{one} {other}");
        }
    }
}
