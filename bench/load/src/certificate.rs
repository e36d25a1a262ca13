//! Writes an authority and a certificate for localhost, for chains with TLS.

use std::fs;
use std::path::PathBuf;

use argh::FromArgs;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use crate::Outcome;

/// Write ca.pem, cert.pem and key.pem for localhost.
#[derive(FromArgs)]
#[argh(subcommand, name = "certificate")]
pub(crate) struct Arguments {
    /// folder to write to
    #[argh(positional)]
    folder: PathBuf,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let authority_key = KeyPair::generate()?;
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // By name, else the certificate and its authority would look like one and the same.
    authority.distinguished_name.push(DnType::CommonName, "bench authority");
    let authority_pem = authority.self_signed(&authority_key)?.pem();
    let issuer = Issuer::new(authority, authority_key);

    let key = KeyPair::generate()?;
    let names = ["localhost", "127.0.0.1", crate::http::HOST].map(str::to_owned).to_vec();
    let leaf = CertificateParams::new(names)?.signed_by(&key, &issuer)?;
    for (name, text) in
        [("ca.pem", authority_pem), ("cert.pem", leaf.pem()), ("key.pem", key.serialize_pem())]
    {
        fs::write(arguments.folder.join(name), text)?;
    }
    Ok(())
}
