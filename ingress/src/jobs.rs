//! Work that blocks: questions to AWS, asked by the shell beside the loop.

/// What the shell is to do.
#[derive(Debug)]
pub enum Job {}

/// What came of a job, or what changed meanwhile.
#[derive(Debug)]
pub enum Answer {}
