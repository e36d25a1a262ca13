//! `wss://`: the agent behind a TLS front such as a load balancer.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::PrivateKeyDer;
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, ServerConnection, SupportedProtocolVersion};

use crate::harness::binaries;
use crate::peers::caller::HOST;
use crate::peers::place::own_address;
use crate::peers::process::{Process, Server};
use crate::peers::service::Service;

/// A TLS front for one name, which passes plain bytes on.
pub(crate) struct Front {
    pub(crate) address: SocketAddr,
    pub(crate) certificate: PathBuf,
}

impl Front {
    /// With a certificate for where it listens, if for no other name.
    pub(crate) fn start(name: Option<&str>, behind: SocketAddr) -> Self {
        Self::speaking(rustls::DEFAULT_VERSIONS, name, behind)
    }

    /// The same with no other versions of TLS.
    fn speaking(
        versions: &[&'static SupportedProtocolVersion],
        name: Option<&str>,
        behind: SocketAddr,
    ) -> Self {
        let listener = TcpListener::bind(own_address()).unwrap();
        let address = listener.local_addr().unwrap();
        let name = name.map_or_else(|| address.ip().to_string(), str::to_owned);
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed([name]).unwrap();
        let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
        let config = ServerConfig::builder_with_protocol_versions(versions)
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let config = Arc::new(config);
        let file = format!("mesh-e2e-{}-{}.pem", std::process::id(), address.port());
        let certificate = std::env::temp_dir().join(file);
        std::fs::write(&certificate, cert.pem()).unwrap();
        std::thread::spawn(move || {
            for outside in listener.incoming().map_while(Result::ok) {
                let tls = ServerConnection::new(Arc::clone(&config)).unwrap();
                std::thread::spawn(move || pass(tls, outside, behind));
            }
        });
        Self { address, certificate }
    }

    fn agent(&self, service: &Service, words: &[&str]) -> Process {
        let ingress = format!("wss://{}", self.address);
        let mut command = Command::new(binaries::MESH);
        command.args(["client", "--ingress-endpoint", &ingress, "--host", HOST]);
        command.args(["--local-endpoint", &service.url(), "--reconnect-min", "0.05"]);
        Process::spawn(command.args(words))
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.certificate);
    }
}

/// Passes bytes both ways until either side ends.
fn pass(mut tls: ServerConnection, mut outside: TcpStream, behind: SocketAddr) -> Option<()> {
    let mut inside = TcpStream::connect(behind).ok()?;
    let patience = Some(Duration::from_millis(2));
    outside.set_read_timeout(patience).ok()?;
    inside.set_read_timeout(patience).ok()?;
    let mut bytes = vec![0; 64 * 1024];
    loop {
        while tls.wants_write() {
            tls.write_tls(&mut outside).ok()?;
        }
        match tls.read_tls(&mut outside) {
            Ok(0) => return None,
            Ok(_) => {
                tls.process_new_packets().ok()?;
            }
            Err(error) if is_timeout(&error) => {}
            Err(_) => return None,
        }
        while let Ok(count) = tls.reader().read(&mut bytes) {
            inside.write_all(bytes.get(..count).filter(|bytes| !bytes.is_empty())?).ok()?;
        }
        match inside.read(&mut bytes) {
            Ok(0) => return None,
            Ok(count) => tls.writer().write_all(&bytes[..count]).ok()?,
            Err(error) if is_timeout(&error) => {}
            Err(_) => return None,
        }
    }
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

#[test]
fn an_agent_reaches_its_ingress_through_a_tls_front_with_a_private_certificate() {
    for version in [&TLS12, &TLS13] {
        let (server, service) = (Server::start(&[]), Service::start("a"));
        let front = Front::speaking(&[version], None, server.tunnels);
        let ca_file = front.certificate.to_str().unwrap();
        let _agent = front.agent(&service, &["--ca-file", ca_file]);
        server.wait_available(1);
        assert_eq!(server.get("/").status, 200, "{version:?}");
    }
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused_with_its_reason() {
    let (server, service) = (Server::start(&[]), Service::start("a"));
    let front = Front::start(None, server.tunnels);
    let agent = front.agent(&service, &[]);
    agent.wait_log("UnknownIssuer");
    assert_eq!(server.get("/").status, 404, "nothing was registered");
}

#[test]
fn a_certificate_for_another_name_is_refused_with_its_reason() {
    let (server, service) = (Server::start(&[]), Service::start("a"));
    let front = Front::start(Some("ingress.example.com"), server.tunnels);
    let ca_file = front.certificate.to_str().unwrap();
    let agent = front.agent(&service, &["--ca-file", ca_file]);
    agent.wait_log("not valid for");
    assert_eq!(server.get("/").status, 404, "nothing was registered");
}
