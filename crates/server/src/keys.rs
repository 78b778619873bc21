//! How is a key made?
//!
//! A key is 32 random bytes behind `tg_`. Only its SHA-256 is kept, and it is shown once, to whoever
//! made it. A plain hash is enough: nobody can guess 256 random bits, so there is nothing for a slow
//! hash to protect. Looking a hash up tells an attacker who measures time at most something about
//! the hash, and nothing about the key.

use model::{IdError, ProjectId};
use sha2::{Digest, Sha256};
use store::meta::{ApiKey, KeyProjects, Meta, MetaError, NewKey};

use crate::scope::{Scope, Scopes, UnknownScope};

/// What every key begins with.
const PREFIX: &str = "tg_";

/// The digits that 32 bytes take in base 62.
const DIGITS: usize = 43;

/// What somebody asks for who wants a key.
#[derive(Debug, Clone, Default, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyRequest {
    /// What people call it.
    pub name: String,
    /// What it may do: `ingest`, `read`, `admin`. Without any: `ingest` and `read`.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// The projects it opens; without any: all of them, also those made later.
    #[serde(default)]
    pub projects: Vec<String>,
}

/// A key that was just made.
#[derive(Debug)]
pub struct NewSecret {
    /// Its id.
    pub id: String,
    /// The key itself. It cannot be had again.
    pub secret: String,
}

/// Why a key was not made.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A scope that there is not.
    #[error(transparent)]
    Scope(#[from] UnknownScope),
    /// A project that cannot be one.
    #[error("{id:?} cannot be a project")]
    Project {
        /// What was given.
        id: String,
        /// What is wrong with it.
        #[source]
        source: IdError,
    },
    /// The first key closes the server to everybody without one, so it must be able to make others.
    #[error(
        "the first key must have the scope admin for all projects: from then on every request needs \
         a key, and no other could make one"
    )]
    FirstKey,
    /// Nobody could make or revoke keys any more.
    #[error(
        "it is the last key with the scope admin for all projects: make another one first \
         (tracegrade keys create --scopes admin), then revoke this one"
    )]
    LastKey,
    /// The system has no random numbers.
    #[error("failed to get random bytes for a key: {0}")]
    Random(getrandom::Error),
    /// The database refused.
    #[error(transparent)]
    Meta(#[from] MetaError),
}

/// Makes a key.
pub async fn create(meta: &Meta, who: &str, request: &KeyRequest) -> Result<NewSecret, KeyError> {
    let scopes = match request.scopes.as_slice() {
        [] => Scopes::default().with(Scope::Ingest).with(Scope::Read),
        words => Scopes::parse(words.iter().map(String::as_str))?,
    };
    let projects = projects(&request.projects)?;
    let is_master = scopes.allow(Scope::Admin) && projects == KeyProjects::All;
    if !is_master && meta.keys().await?.is_empty() {
        return Err(KeyError::FirstKey);
    }
    let secret = fresh_secret()?;
    let new = NewKey {
        name: request.name.clone(),
        projects,
        hash: hash(&secret),
        shown: shown(&secret),
        scopes: scopes.to_string(),
    };
    let id = meta.create_key(who, &new).await?;
    Ok(NewSecret { id, secret })
}

/// Returns every key, revoked ones included, oldest first.
pub async fn list(meta: &Meta) -> Result<Vec<ApiKey>, MetaError> {
    meta.keys().await
}

/// Revokes a key. A server that runs must do it itself (`DELETE /v1/keys/{id}`).
pub async fn revoke(meta: &Meta, who: &str, id: &str) -> Result<(), KeyError> {
    let keys = meta.keys().await?;
    let mut masters = keys.iter().filter(|key| is_master(key)).map(|key| &key.id);
    if let (Some(only), None) = (masters.next(), masters.next())
        && only == id
    {
        return Err(KeyError::LastKey);
    }
    Ok(meta.revoke_key(who, id).await?)
}

/// Returns whether a key may make and revoke others.
fn is_master(key: &ApiKey) -> bool {
    let mut scopes = key.scopes.split(',');
    key.revoked_at.is_none()
        && key.projects == KeyProjects::All
        && scopes.any(|scope| scope == Scope::Admin.as_str())
}

/// Returns what a key is looked up by.
pub(crate) fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

fn projects(ids: &[String]) -> Result<KeyProjects, KeyError> {
    if ids.is_empty() {
        return Ok(KeyProjects::All);
    }
    let parse = |id: &String| {
        ProjectId::new(id).map_err(|source| KeyError::Project {
            id: id.clone(),
            source,
        })
    };
    Ok(KeyProjects::Only(
        ids.iter().map(parse).collect::<Result<_, _>>()?,
    ))
}

fn fresh_secret() -> Result<String, KeyError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(KeyError::Random)?;
    Ok(format!("{PREFIX}{}", base62(bytes)))
}

/// Returns what of a key may be shown: enough to tell two apart.
fn shown(secret: &str) -> String {
    format!("{PREFIX}…{}", &secret[secret.len() - 4..])
}

/// Writes 256 bits as a number in base 62, most significant digit first.
fn base62(mut number: [u8; 32]) -> String {
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut digits = [b'0'; DIGITS];
    for digit in digits.iter_mut().rev() {
        let mut rest = 0u16;
        for byte in &mut number {
            let part = rest * 256 + u16::from(*byte);
            *byte = (part / 62) as u8;
            rest = part % 62;
        }
        *digit = ALPHABET[usize::from(rest)];
    }
    digits.iter().map(|digit| char::from(*digit)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base62_is_a_number_without_loss() {
        assert_eq!(base62([0; 32]), "0".repeat(DIGITS));
        let mut small = [0; 32];
        small[31] = 63;
        assert_eq!(base62(small), format!("{}11", "0".repeat(DIGITS - 2)));
        // 2^256 - 1 needs all digits, and one digit less would not do: 62^42 < 2^256 < 62^43.
        assert_ne!(&base62([255; 32])[..1], "0");
    }

    #[test]
    fn no_two_keys_are_alike_and_little_of_one_is_shown() {
        let (one, two) = (fresh_secret().unwrap(), fresh_secret().unwrap());
        assert_ne!(one, two);
        assert_eq!(one.len(), PREFIX.len() + DIGITS);
        assert_eq!(shown(&one), format!("tg_…{}", &one[one.len() - 4..]));
        assert_ne!(hash(&one), hash(&two));
    }
}
