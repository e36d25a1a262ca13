//! AWS by others: moto verifies signatures and policies, botocore makes signatures. Neither knows
//! of the mesh, so what they agree on with it is not our own reading of AWS.

pub(crate) mod botocore;
pub(crate) mod moto;
pub(crate) mod python;
pub(crate) mod seed;
