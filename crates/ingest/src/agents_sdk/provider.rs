//! Who served a model, as far as a span tells: the host it called, or a prefix of the model's name.
//! The words are OpenTelemetry's.

use std::borrow::Cow;

/// Ends of host names, and who is behind them.
const HOSTS: [(&str, &str); 14] = [
    ("api.openai.com", "openai"),
    (".openai.azure.com", "azure.ai.openai"),
    (".services.ai.azure.com", "azure.ai.inference"),
    (".models.ai.azure.com", "azure.ai.inference"),
    ("api.anthropic.com", "anthropic"),
    ("generativelanguage.googleapis.com", "gcp.gemini"),
    ("aiplatform.googleapis.com", "gcp.vertex_ai"),
    ("api.mistral.ai", "mistral_ai"),
    ("api.deepseek.com", "deepseek"),
    ("api.groq.com", "groq"),
    ("api.x.ai", "x_ai"),
    ("api.cohere.com", "cohere"),
    ("api.perplexity.ai", "perplexity"),
    ("openrouter.ai", "openrouter"),
];

/// Prefixes of model names as LiteLLM and OpenRouter write them.
const PREFIXES: [(&str, &str); 18] = [
    ("openai", "openai"),
    ("azure", "azure.ai.openai"),
    ("azure_ai", "azure.ai.inference"),
    ("anthropic", "anthropic"),
    ("gemini", "gcp.gemini"),
    ("google", "gcp.gemini"),
    ("vertex_ai", "gcp.vertex_ai"),
    ("bedrock", "aws.bedrock"),
    ("mistral", "mistral_ai"),
    ("mistralai", "mistral_ai"),
    ("deepseek", "deepseek"),
    ("groq", "groq"),
    ("xai", "x_ai"),
    ("x-ai", "x_ai"),
    ("cohere", "cohere"),
    ("perplexity", "perplexity"),
    ("openrouter", "openrouter"),
    ("ollama", "ollama"),
];

/// Returns the provider told by the model's name, else by the host; a host that nobody here knows
/// is named itself.
pub(super) fn read(model: Option<&str>, base_url: Option<&str>) -> Option<String> {
    let by_prefix = model.and_then(by_prefix).map(Cow::Borrowed);
    by_prefix
        .or_else(|| base_url.and_then(by_host))
        .map(Cow::into_owned)
}

fn by_prefix(model: &str) -> Option<&'static str> {
    let model = model
        .strip_prefix("litellm/")
        .or(model.strip_prefix("any-llm/"))
        .unwrap_or(model);
    let (prefix, _) = model.split_once('/')?;
    PREFIXES
        .iter()
        .find(|(known, _)| *known == prefix)
        .map(|(_, provider)| *provider)
}

fn by_host(base_url: &str) -> Option<Cow<'static, str>> {
    let (_, rest) = base_url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    let host = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next()?,
        None => host.split(':').next()?,
    };
    let host = host.to_ascii_lowercase();
    if host.is_empty() {
        return None;
    }
    let known = HOSTS.iter().find(|(end, _)| match end.starts_with('.') {
        true => host.ends_with(end),
        false => {
            host == *end
                || host
                    .strip_suffix(end)
                    .is_some_and(|before| before.ends_with(['.', '-']))
        }
    });
    Some(match known {
        Some((_, provider)) => Cow::Borrowed(*provider),
        None => Cow::Owned(host),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_prefixes_name_the_provider() {
        let cases = [
            (None, Some("https://api.openai.com/v1/"), Some("openai")),
            (None, Some("https://eu.api.openai.com/v1"), Some("openai")),
            (
                None,
                Some("https://my-team.openai.azure.com/openai?x=1"),
                Some("azure.ai.openai"),
            ),
            (
                None,
                Some("https://us-east5-aiplatform.googleapis.com/v1"),
                Some("gcp.vertex_ai"),
            ),
            (
                None,
                Some("http://user:pw@LocalHost:11434/v1"),
                Some("localhost"),
            ),
            (None, Some("http://[::1]:8000/v1"), Some("::1")),
            (
                None,
                Some("https://notapi.openai.com.evil.example/"),
                Some("notapi.openai.com.evil.example"),
            ),
            (None, Some("nonsense"), None),
            (None, Some("https:///v1"), None),
            (Some("gpt-4.1-mini"), None, None),
            (Some("litellm/anthropic/claude-x"), None, Some("anthropic")),
            (
                Some("groq/llama"),
                Some("http://localhost:4000"),
                Some("groq"),
            ),
            (
                Some("meta-llama/llama-4"),
                Some("http://vllm:8000/v1"),
                Some("vllm"),
            ),
        ];
        for (model, base_url, want) in cases {
            assert_eq!(
                read(model, base_url).as_deref(),
                want,
                "{model:?} {base_url:?}"
            );
        }
    }
}
