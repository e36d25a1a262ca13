//! Who an agent is, and which hosts it may register: rules only.
//!
//! ```text
//!   PROOF --> proof    StsRequest for a job    --> principal --.
//!         --> tokens   compared here           --> principal --+--> policy --> Granted
//!   certificate, proved by TLS                 --> principal --'         |--> Denied
//!                                                                        `--> NeedsEcs
//!   NeedsEcs --> ecs   EcsQuestion for a job --> verify --> facts --> policy
//! ```
//!
//! What an agent says of itself is a claim. An identity is what STS, a token's MAC or a
//! certificate proves; where a task runs and of which service it is, only ECS proves.

pub mod arn_pattern;
pub mod ecs;
pub mod host;
pub mod pattern;
pub mod policy;
pub mod principal;
pub mod proof;
pub mod rule;
pub mod sts_hosts;
pub mod tokens;

pub use arn_pattern::{Account, ArnPattern};
pub use ecs::{EcsAnswers, EcsFacts, EcsQuestion, EcsRefusal, EcsRequest, EcsSubject, Operation};
pub use host::HostPattern;
pub use pattern::Pattern;
pub use policy::{Claim, Decision, Method, Policy, Requirement};
pub use principal::{AwsIdentity, AwsPrincipal, Holder, Principal};
pub use proof::{StsRequest, check_date, sts_request};
pub use rule::{ClusterPattern, LaunchType, Rule, RuleError, Who};
pub use tokens::{Separators, Tokens};
