//! Who may register: the real binaries before AWS as moto plays it, signatures by botocore, AWS
//! servers that misbehave, and the addresses at which AWS puts credentials.
//!
//! | file | what it is |
//! | --- | --- |
//! | `aws` | moto with an account in it, and botocore, both in Python |
//! | `fakes` | servers that answer as the test wants: STS, ECS, credentials and metadata |
//! | `namespace` | a network of a test's own, with AWS's fixed addresses |
//! | `raw` | an agent that answers its challenge with anything |
//! | `stage` | an ingress and agents with rules, variables and credentials |
//! | `harness_tests` | that all of these do what they say |
//! | the others | what is tried |
//!
//! The first run downloads moto and botocore into the target folder. Where that is impossible, each
//! test says so in one sentence and passes; with `CI` set it fails.

mod answers;
mod at_aws;
mod aws;
mod binding;
mod fakes;
mod harness_tests;
mod load;
mod namespace;
mod outages;
// The other tests of whole processes use the rest.
#[expect(dead_code)]
mod peers;
mod policies;
mod principals;
mod raw;
mod reload;
mod secrecy;
mod self_check;
mod signatures;
mod sources;
mod stage;
mod tasks;
