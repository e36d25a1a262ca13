//! Why there are no credentials.

use std::fmt;

use crate::Source;

/// Why there are no credentials. The sentences name variables, files and addresses, and no values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialsError {
    /// Nothing is configured: a sentence that says where was looked.
    NotFound(String),
    /// A source is configured and gives none. Those after it are not asked: whoever configured
    /// this one would be surprised to act as somebody else.
    Broken {
        /// Which source.
        source: Source,
        /// What is wrong, naming the culprit.
        complaint: String,
    },
    /// A source gives credentials whose time is over.
    Expired(Source),
}

impl fmt::Display for CredentialsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound(sentence) => f.write_str(sentence),
            Self::Broken { source, complaint } => {
                write!(f, "AWS credentials ({source}): {complaint}")
            }
            Self::Expired(source) => {
                write!(
                    f,
                    "AWS credentials ({source}): those that are there have expired, by this host's \
                     clock"
                )
            }
        }
    }
}

impl std::error::Error for CredentialsError {}
