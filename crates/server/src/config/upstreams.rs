//! Where does the recording proxy pass calls on to?

use reqwest::Url;

use super::words::Wanted;

/// The upstream that is there without being named.
const OPENAI: (&str, &str) = ("openai", "https://api.openai.com/v1");

/// Longer names are refused: they are a part of paths and of labels.
const NAME_BYTES_MAX: usize = 64;

/// A server that calls are passed on to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// Its name, which is in the path: `/v1/proxy/NAME/…`.
    pub name: String,
    /// Where its API is; paths are appended to it.
    pub url: Url,
}

/// Returns the upstreams of a server that was told nothing.
pub(super) fn default_upstreams() -> Vec<Upstream> {
    upstreams("").expect("the list of none is a list")
}

/// Reads `NAME=URL` separated by commas; `openai` is there unless it is given another URL.
pub(super) fn upstreams(text: &str) -> Result<Vec<Upstream>, Wanted> {
    let default = format!("{}={}", OPENAI.0, OPENAI.1);
    let mut found = vec![upstream(&default)?];
    let items = text.split(',').map(str::trim);
    for item in items.filter(|item| !item.is_empty()) {
        let given = upstream(item)?;
        match found.iter_mut().find(|known| known.name == given.name) {
            Some(known) => *known = given,
            None => found.push(given),
        }
    }
    Ok(found)
}

fn upstream(text: &str) -> Result<Upstream, Wanted> {
    const WANTED: Wanted =
        "NAME=URL such as groq=https://api.groq.com/openai/v1, without a key or a query in it";
    let (name, url) = text.split_once('=').ok_or(WANTED)?;
    let (name, url) = (name.trim(), url.trim());
    let is_name = (1..=NAME_BYTES_MAX).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    let url = Url::parse(url).map_err(|_| WANTED)?;
    // What is in a URL is shown by --print-config and kept with each call: nothing secret may be.
    let is_plain = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    (is_name && is_plain)
        .then(|| Upstream {
            name: name.to_owned(),
            url,
        })
        .ok_or(WANTED)
}

impl Upstream {
    /// Returns it as [`upstreams`] reads it.
    pub(super) fn to_text(&self) -> String {
        format!("{}={}", self.name, self.base())
    }

    /// Returns the URL without a slash at its end.
    pub(crate) fn base(&self) -> &str {
        self.url.as_str().trim_end_matches('/')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, want: Option<&[&str]>) {
        let got = upstreams(text).ok();
        let got: Option<Vec<String>> =
            got.map(|found| found.iter().map(Upstream::to_text).collect());
        let want: Option<Vec<String>> =
            want.map(|texts| texts.iter().map(ToString::to_string).collect());
        assert_eq!(got, want, "{text:?}");
    }

    #[test]
    fn openai_is_there_and_others_have_a_name_and_a_plain_url() {
        let openai = "openai=https://api.openai.com/v1";
        check("", Some(&[openai]));
        check(
            "local = http://127.0.0.1:8000/v1/ , groq=https://api.groq.com/openai/v1,",
            Some(&[
                openai,
                "local=http://127.0.0.1:8000/v1",
                "groq=https://api.groq.com/openai/v1",
            ]),
        );
        check("openai=http://x/", Some(&["openai=http://x"]));
        for bad in [
            "https://api.openai.com",
            "=http://x",
            "a/b=http://x",
            "a=ftp://x",
            "a=x",
            "a=http://user:key@x",
            "a=http://x?key=1",
            "a=http://x#y",
        ] {
            check(bad, None);
        }
    }
}
