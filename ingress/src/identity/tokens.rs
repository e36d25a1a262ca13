//! Pre-shared tokens: the file that holds them, and proofs of holding one.
//!
//! ```text
//! # name   token              hosts that go with it; without any, the rules for the name decide
//! edge-1   4f1c...            edge.example.com,*.edge.example.com
//! edge-2   9ab0...
//! ```
//!
//! A token never crosses the wire. The agent sends the beginning of a digest, by which we find
//! which token it means, and a MAC over our server id, our nonce and its HELLO.

use std::collections::HashMap;
use std::fmt;

use mesh_protocol::control::TokenProof;
use mesh_protocol::proof::{Binding, TOKEN_BYTES_MAX, TOKEN_BYTES_MIN, token_id};
use ring::hmac;

use super::host::HostPattern;

/// The tokens of an ingress.
#[derive(Clone)]
pub struct Tokens {
    by_id: HashMap<Box<str>, Token>,
    /// By name, where the token's id is.
    ids: HashMap<Box<str>, Box<str>>,
    /// Stands in for tokens that are not there, so that their absence takes the same time.
    nobody: hmac::Key,
}

#[derive(Clone)]
struct Token {
    name: Box<str>,
    key: hmac::Key,
    hosts: Vec<HostPattern>,
}

/// What ends a token's line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Separators {
    /// Line ends, as in a file.
    Lines,
    /// Semicolons too, for variables, which rarely have more than one line.
    LinesAndSemicolons,
}

/// Enough for a fleet, and few enough to be read within a blink.
pub const TOKENS_MAX: usize = 10_000;

const TOKEN_NAME_BYTES_MAX: usize = 64;

impl Default for Tokens {
    fn default() -> Self {
        let nobody = hmac::Key::new(hmac::HMAC_SHA256, b"nobody's");
        Self { by_id: HashMap::new(), ids: HashMap::new(), nobody }
    }
}

impl Tokens {
    /// Adds the tokens of one source, which `origin` names in errors.
    ///
    /// # Errors
    /// A line is no token, or one is there already; a sentence with the number of the line, and without
    /// any of its words: people mix them up.
    pub fn add(&mut self, origin: &str, text: &str, separators: Separators) -> Result<(), String> {
        for (index, line) in text.lines().enumerate() {
            let parts: Vec<&str> = match separators {
                Separators::Lines => vec![line],
                Separators::LinesAndSemicolons => line.split(';').collect(),
            };
            for part in parts {
                self.add_line(part)
                    .map_err(|reason| format!("{origin} line {}: {reason}", index + 1))?;
            }
        }
        Ok(())
    }

    fn add_line(&mut self, line: &str) -> Result<(), String> {
        let words: Vec<&str> =
            line.split_ascii_whitespace().take_while(|word| !word.starts_with('#')).collect();
        let (name, token, hosts) = match words[..] {
            [] => return Ok(()),
            [name, token] => (name, token, ""),
            [name, token, hosts] => (name, token, hosts),
            [_] => return Err(format!("a line needs a name and a token; {HINT}")),
            [_, _, _, ..] => {
                return Err("too many words; separate hosts with commas, without spaces".into());
            }
        };
        if !is_name(name) {
            // It may be the token, if somebody forgot the name.
            return Err(format!(
                "the first word is not a name; give at most {TOKEN_NAME_BYTES_MAX} letters, \
                 digits, '.', '_' and '-'"
            ));
        }
        // Here as well, so that no word is repeated.
        check_token(token).map_err(|reason| format!("the second word {reason}; {HINT}"))?;
        if looks_like_host(token) && (looks_like_token(name) || looks_like_token(hosts)) {
            return Err(
                "the second word looks like a host, and another one like a token; give name, \
                        token and hosts in this order"
                    .into(),
            );
        }
        if self.ids.contains_key(name) {
            return Err("there is already a token of this name".into());
        }
        let id: Box<str> = token_id(token).into();
        if self.by_id.contains_key(&*id) {
            return Err("this token is there already under another name".into());
        }
        if self.by_id.len() >= TOKENS_MAX {
            return Err(format!("there are more than {TOKENS_MAX} tokens"));
        }
        let hosts = token_hosts(hosts)?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, token.as_bytes());
        self.ids.insert(name.into(), id.clone());
        self.by_id.insert(id, Token { name: name.into(), key, hosts });
        Ok(())
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// The names of all, in no order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.ids.keys().map(|name| &**name)
    }

    /// The name of the token whose holder made this proof. A token that is not there and a MAC
    /// that is wrong are the same to whoever asks, in time too.
    #[must_use]
    pub fn verify(&self, proof: &TokenProof, binding: &Binding<'_>) -> Option<&str> {
        let token = self.by_id.get(proof.id.as_str());
        let key = token.map_or(&self.nobody, |token| &token.key);
        let is_right = proof.is_by(key, binding);
        token.filter(|_| is_right).map(|token| &*token.name)
    }

    /// Whether the token of that name is still the one with this id.
    #[must_use]
    pub fn holds(&self, name: &str, id: &str) -> bool {
        self.ids.get(name).is_some_and(|known| **known == *id)
    }

    /// The hosts in the token's line.
    #[must_use]
    pub fn hosts(&self, name: &str) -> &[HostPattern] {
        let token = self.ids.get(name).and_then(|id| self.by_id.get(id));
        token.map_or(&[], |token| &token.hosts)
    }
}

/// Tokens stay out of logs.
impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names: Vec<&str> = self.names().collect();
        names.sort_unstable();
        f.debug_tuple("Tokens").field(&names).finish()
    }
}

const HINT: &str = "make one with openssl rand -hex 32";

fn is_name(text: &str) -> bool {
    (1..=TOKEN_NAME_BYTES_MAX).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

fn check_token(token: &str) -> Result<(), String> {
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("has characters that are not printable ASCII".to_owned());
    }
    if token.len() < TOKEN_BYTES_MIN {
        return Err(format!("is shorter than {TOKEN_BYTES_MIN} characters and could be guessed"));
    }
    if token.len() > TOKEN_BYTES_MAX {
        return Err(format!("is longer than {TOKEN_BYTES_MAX} characters"));
    }
    Ok(())
}

/// Whether somebody may have made this as we advise, with `openssl rand -hex`. A name may look so too.
fn looks_like_token(word: &str) -> bool {
    word.len() >= 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether these are hosts, of which nobody makes a token.
fn looks_like_host(word: &str) -> bool {
    word.contains('.') && token_hosts(word).is_ok()
}

fn token_hosts(list: &str) -> Result<Vec<HostPattern>, String> {
    let items = list.split(',').map(str::trim).filter(|item| !item.is_empty());
    // It may be the token, if somebody mixed the words up.
    let wrong =
        |_| "the third word is not a list of hosts; give for example a.example.com,*.b.example";
    let hosts = items.map(|item| HostPattern::parse(item).map_err(wrong));
    let hosts = hosts.collect::<Result<Vec<_>, _>>()?;
    if hosts.iter().any(HostPattern::needs_service) {
        return Err("{service} cannot be used here: ECS knows nothing of a token's holder".into());
    }
    Ok(hosts)
}

#[cfg(test)]
mod tests;
