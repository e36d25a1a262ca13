//! The JSON payloads of frames about the connection.
//!
//! Unknown members are ignored, so that either side may be newer than the other.

use std::fmt;

use serde::{Deserialize, Serialize};

/// HELLO: the agent introduces itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The agent's version.
    pub version: String,
    /// Host names and patterns it wants to serve.
    pub hosts: Vec<String>,
    /// The service behind it.
    #[serde(default)]
    pub service: String,
    /// The ECS cluster it runs in.
    #[serde(default)]
    pub cluster: String,
    /// What tells this agent process from others, for people.
    #[serde(default)]
    pub instance: String,
    /// What no other agent process can know: tunnels that name the same one are one agent's. Empty
    /// from agents that have one tunnel each.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub process: String,
    /// Which of the agent's tunnels to this ingress it is; it takes the place of an earlier one.
    #[serde(default)]
    pub lane: u32,
    /// Whether the agent still has that earlier one, with what is under way on it. Else it has lost it.
    #[serde(default)]
    pub keeps_former: bool,
    /// Which ones it still has, by the sessions of their WELCOMEs, where there are several. Empty from
    /// agents that do not say: those have them all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<String>,
    /// DATA bytes it takes on each stream before it returns credit.
    pub window: u32,
    /// Streams it takes at once.
    pub streams: u32,
    /// Whether its service was healthy when it said hello.
    #[serde(default)]
    pub healthy: bool,
    /// The ARN of the ECS task it is part of; the ingress asks ECS whether that is so.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub task: String,
    /// The ARN of the ECS container instance that it runs on, where it is part of no task.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub container_instance: String,
}

/// CHALLENGE: the ingress wants to know who the agent is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
    /// Which ingress asks.
    pub server_id: String,
    /// What the proof is bound to, used once.
    pub nonce: String,
    /// The kinds of proof it accepts.
    pub methods: Vec<String>,
}

/// PROOF: the agent's answer to a challenge. [`crate::proof`] says what each kind proves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "snake_case")]
pub enum Proof {
    /// By AWS credentials.
    Iam(IamProof),
    /// By a pre-shared token.
    Token(TokenProof),
    /// A kind of a later version.
    #[serde(other)]
    Other,
}

/// What the ingress needs to build the STS request that the agent signed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IamProof {
    /// The STS host it is signed for, such as `sts.eu-central-1.amazonaws.com`.
    pub host: String,
    /// The region of the signature's scope.
    pub region: String,
    /// Whose secret key made the signature.
    pub access_key_id: String,
    /// When it was made: `20261120T161426Z`.
    pub date: String,
    /// The session token that belongs to temporary credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_token: Option<String>,
    /// The signature: 64 hexadecimal digits.
    pub signature: String,
}

/// Nothing that proves anything is shown.
impl fmt::Debug for IamProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, region, date, .. } = self;
        f.debug_struct("IamProof")
            .field("host", host)
            .field("region", region)
            .field("date", date)
            .finish_non_exhaustive()
    }
}

/// Knowledge of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenProof {
    /// Which token: [`crate::proof::token_id`].
    pub id: String,
    /// HMAC-SHA256 over the binding, 64 hexadecimal digits.
    pub mac: String,
}

/// WELCOME: the agent is registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The ingress's version.
    pub version: String,
    /// The tunnel's name in the ingress's log and `/debug/services`.
    pub session: String,
    /// DATA bytes the ingress takes on each stream before it returns credit.
    pub window: u32,
    /// Streams the ingress opens at once, at most.
    pub streams: u32,
}

/// REFUSED: the agent is not registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// A word for programs.
    pub code: RefusalCode,
    /// A sentence for the agent's operator.
    pub reason: String,
}

/// Why a registration was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalCode {
    /// The agent did not prove an identity that is needed.
    Unauthenticated,
    /// The agent's identity may not register this.
    Forbidden,
    /// HELLO made no sense.
    Invalid,
    /// The ingress takes no more tunnels.
    Overloaded,
    /// The ingress is leaving.
    Draining,
    /// Who could tell whether the agent may is not to be reached.
    Unavailable,
    /// A code of a later version.
    #[serde(other)]
    Other,
}

impl RefusalCode {
    /// All that this version gives.
    pub const ALL: [Self; 6] = [
        Self::Unauthenticated,
        Self::Forbidden,
        Self::Invalid,
        Self::Overloaded,
        Self::Draining,
        Self::Unavailable,
    ];

    /// The word, on the wire and in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::Invalid => "invalid",
            Self::Overloaded => "overloaded",
            Self::Draining => "draining",
            Self::Unavailable => "unavailable",
            Self::Other => "other",
        }
    }
}

/// HEALTH: the state of the service behind the agent changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Whether requests should come.
    pub healthy: bool,
    /// Why, in words for people.
    #[serde(default)]
    pub reason: String,
}

/// The payload of DRAIN from an agent that has another tunnel in place of this one; of an agent that
/// leaves it is empty.
pub const REPLACED: &[u8] = &[1];

/// What a peer says in words, cut to so many characters: it goes into logs, which escape what is in it.
#[must_use]
pub fn shorten(words: &str, chars: usize) -> &str {
    let end = words.char_indices().nth(chars).map_or(words.len(), |(at, _)| at);
    &words[..end]
}

/// Bytes that a control payload may have.
pub const CONTROL_BYTES_MAX: usize = 32 * 1024;

/// The payload's bytes. Serialising these types cannot fail: they hold no maps and no floats.
#[must_use]
pub fn encode(message: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(message).expect("strings, numbers, booleans and lists of them")
}

/// Reads a payload.
///
/// # Errors
/// It is too long, or not the JSON it should be; the error says where.
pub fn decode<'de, T: Deserialize<'de>>(payload: &'de [u8]) -> Result<T, serde_json::Error> {
    if payload.len() > CONTROL_BYTES_MAX {
        return Err(serde::de::Error::custom("control payload too long"));
    }
    serde_json::from_slice(payload)
}
