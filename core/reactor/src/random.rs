//! Randomness of the system.

use std::io;

use rustls::crypto::ring;

/// Bytes that nobody can guess.
///
/// # Errors
/// The system has no randomness.
pub fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    ring::default_provider()
        .secure_random
        .fill(&mut bytes)
        .map_err(|_| io::Error::other("the system has no randomness"))?;
    Ok(bytes)
}

/// What an application's own randomness begins with.
pub(crate) fn seed() -> io::Result<u64> {
    random().map(u64::from_ne_bytes)
}

/// Which of several addresses the first tunnel is dialled at: agents that start together spread.
pub(crate) fn first_address() -> io::Result<usize> {
    random().map(usize::from_ne_bytes)
}
