//! What passes unchanged, and the little that does not.

use crate::harness::answer::{Answer, expect, take_head};
use crate::harness::mesh::Mesh;

#[test]
fn a_request_head_arrives_as_it_was_sent_and_the_additions_stand_at_its_end() {
    let (mesh, origin) = Mesh::start_by_hand();
    let sent = b"GET /a/./b/..//c%2F%7e?x=1&&y=%20+;z=\xc3\xa9 HTTP/1.1\r\n\
        hOsT: Demo.Local\r\n\
        ACCEPT-language:  de,   en\r\n\
        x-obs-text: caf\xe9 \x80\r\n\
        Cookie: a=1\r\n\
        X-Twice: one\r\n\
        cookie: b=2\r\n\
        X-Twice: two\r\n\
        X-Empty:\r\n\
        X-Followed-By-Space: yes \t\r\n\
        X-Amzn-Trace-Id: Root=1-67891233-abcdef012345678912345678\r\n\
        traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\
        \r\n";
    let additions = format!(
        "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Port: {}\r\n\
         X-Forwarded-Host: Demo.Local\r\n\r\n",
        mesh.server.traffic.port()
    );
    let expected = [&sent[..sent.len() - 2], additions.as_bytes()].concat();
    mesh.call().send(sent);
    let call = origin.next();
    assert_eq!(call.head.escape_ascii().to_string(), expected.escape_ascii().to_string());
}

#[test]
fn a_response_head_arrives_as_it_was_sent() {
    let (mesh, origin) = Mesh::start_by_hand();
    let heads: [&[u8]; 6] = [
        b"HTTP/1.1 200 Quite all right, \xe9t\xe9\r\n\
          Set-Cookie: a=1; Path=/\r\n\
          x-lower: 1\r\n\
          SET-COOKIE: b=2\r\n\
          X-Obs-Text:  caf\xe9  \r\n\
          Set-Cookie: a=3\r\n\
          X-Mesh-Like: yes\r\n\
          Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n\
          Server: the service's own\r\n\
          CONTENT-length: 0\r\n\
          Via: 1.1 somebody\r\n\
          \r\n",
        b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 299 ok\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 599 \tx\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 600 What\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 999 Request denied\r\nContent-Length: 0\r\n\r\n",
    ];
    for head in heads {
        let mut caller = mesh.call();
        caller.send("GET / HTTP/1.1\r\nHost: demo.local\r\n\r\n");
        origin.next().wire.send(head);
        expect(&mut caller, head);
    }
    // RFC 9110 15: what is in no class is as bad as a server's error.
    assert_eq!(mesh.server.metric("mesh_requests_total", "class=\"5xx\""), 3);
}

#[test]
fn fields_about_one_hop_do_not_pass_in_either_direction() {
    let (mesh, origin) = Mesh::start_by_hand();
    let hop = "Connection: close, X-Private\r\nx-private: 1\r\nKeep-Alive: timeout=5\r\n\
               Proxy-Connection: keep-alive\r\nUpgrade: h2c\r\n";
    let mut caller = mesh.call();
    caller.send(format!(
        "GET / HTTP/1.1\r\nHost: demo.local\r\n{hop}TE: deflate, trailers;q=1, trailers\r\n\
         X-Kept: 1\r\n\r\n"
    ));
    let mut call = origin.next();
    let names: Vec<_> = call.text().lines().filter_map(|line| line.split_once(':')).collect();
    let names: Vec<_> = names.into_iter().map(|(name, _)| name).collect();
    let forwarded =
        ["X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Host"];
    assert_eq!(names, [&["Host", "X-Kept"], &forwarded[..], &["TE", "Connection"]].concat());
    assert_eq!(call.lines_of("te"), ["TE: trailers"]);
    assert_eq!(call.lines_of("connection"), ["Connection: TE"]);
    call.wire.send(format!("HTTP/1.1 200 OK\r\n{hop}X-Kept: 1\r\nContent-Length: 0\r\n\r\n"));
    let head = take_head(&mut caller).unwrap();
    assert_eq!(
        String::from_utf8_lossy(&head),
        "HTTP/1.1 200 OK\r\nX-Kept: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    );
}

#[test]
fn the_service_learns_where_a_request_came_from() {
    let (mesh, origin) = Mesh::start_by_hand();
    let port = format!("X-Forwarded-Port: {}", mesh.server.traffic.port());
    let cases: [(&str, &[&str]); 4] = [
        (
            "",
            &[
                "X-Forwarded-For: 127.0.0.1",
                "X-Forwarded-Proto: http",
                &port,
                "X-Forwarded-Host: demo.local:81",
            ],
        ),
        (
            "x-forwarded-for: 203.0.113.9, 10.0.0.1\r\n",
            &[
                "x-forwarded-for: 203.0.113.9, 10.0.0.1, 127.0.0.1",
                "X-Forwarded-Proto: http",
                &port,
                "X-Forwarded-Host: demo.local:81",
            ],
        ),
        (
            "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\n",
            &[
                "X-Forwarded-For: 1.1.1.1",
                "X-Forwarded-For: 2.2.2.2, 127.0.0.1",
                "X-Forwarded-Proto: http",
                &port,
                "X-Forwarded-Host: demo.local:81",
            ],
        ),
        (
            "X-Forwarded-Proto: https\r\nx-forwarded-port: 443\r\nX-FORWARDED-HOST: public\r\n",
            &[
                "X-Forwarded-Proto: https",
                "x-forwarded-port: 443",
                "X-FORWARDED-HOST: public",
                "X-Forwarded-For: 127.0.0.1",
            ],
        ),
    ];
    for (fields, expected) in cases {
        let mut caller = mesh.call();
        caller.send(format!("GET / HTTP/1.1\r\nHost: demo.local:81\r\n{fields}\r\n"));
        let call = origin.next();
        let is_forwarded = |line: &&str| line.to_lowercase().starts_with("x-forwarded-");
        let found: Vec<_> = call.text().lines().filter(is_forwarded).collect();
        assert_eq!(found, expected, "{fields:?}");
    }
}

#[test]
fn large_heads_pass_whole() {
    let (mesh, origin) = Mesh::start_by_hand();
    let many: String = (0..250).map(|number| format!("X-{number}: {number}\r\n")).collect();
    let large = format!("Cookie: {}\r\n", "c".repeat(63 * 1024));
    for fields in [many, large] {
        let mut caller = mesh.call();
        caller.send(format!("GET / HTTP/1.1\r\nHost: demo.local\r\n{fields}\r\n"));
        let mut call = origin.next();
        assert!(call.text().contains(&fields));
        call.approve();
        assert_eq!(Answer::read(&mut caller).status, 200);
    }
}
