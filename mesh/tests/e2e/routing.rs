//! Which service a request reaches.

use crate::harness::answer::Answer;
use crate::harness::mesh::Mesh;

#[test]
fn smoke() {
    let (mesh, _app) = Mesh::start();
    let mut wire = mesh.call();
    wire.send("GET /api/health HTTP/1.1\r\nHost: demo.local\r\n\r\n");
    assert_eq!(Answer::read(&mut wire).status, 200);
}
