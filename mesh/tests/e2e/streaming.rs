//! Bytes are passed on as they come, in both directions.

use std::net::Shutdown;
use std::thread;

use crate::harness::answer::{Answer, Body, expect, take_head};
use crate::harness::mesh::Mesh;
use crate::peers::wire::Wire;

#[test]
fn an_event_arrives_while_the_next_one_is_minutes_away() {
    let (mesh, _app) = Mesh::start();
    let mut caller = mesh.call();
    caller.send(
        "GET /api/stream?count=2&interval_ms=600000 HTTP/1.1\r\nHost: demo.local\r\n\
         Accept: text/event-stream\r\n\r\n",
    );
    let head = take_head(&mut caller).unwrap();
    let event = Body::of(&head).next(&mut caller).unwrap().unwrap();
    assert!(event.starts_with(b"id: 1\ndata: "), "{}", event.escape_ascii());
}

#[test]
fn each_piece_of_a_response_arrives_before_the_next_one_is_written() {
    let (mesh, origin) = Mesh::start_by_hand();
    let sized = "HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n";
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let until_close = "HTTP/1.1 200 OK\r\n\r\n";
    for (head, before, after) in
        [(sized, "", ""), (chunked, "5\r\n", "\r\n"), (until_close, "", "")]
    {
        let mut caller = mesh.call();
        caller.send("GET / HTTP/1.1\r\nHost: demo.local\r\n\r\n");
        let mut call = origin.next();
        call.wire.send(head);
        let mut body = Body::of(&take_head(&mut caller).unwrap());
        for piece in ["first", "other", "third"] {
            call.wire.send(format!("{before}{piece}{after}"));
            assert_eq!(body.next(&mut caller).unwrap().unwrap(), piece.as_bytes(), "{head:?}");
        }
    }
}

#[test]
fn each_piece_of_a_request_arrives_before_the_next_one_is_written() {
    let (mesh, origin) = Mesh::start_by_hand();
    for (framing, before, after) in
        [("Content-Length: 10", "", ""), ("Transfer-Encoding: chunked", "5\r\n", "\r\n")]
    {
        let mut caller = mesh.call();
        caller.send(format!("POST / HTTP/1.1\r\nHost: demo.local\r\n{framing}\r\n\r\n"));
        let mut call = origin.next();
        for piece in ["first", "other"] {
            let piece = format!("{before}{piece}{after}");
            caller.send(&piece);
            expect(&mut call.wire, piece);
        }
        if !before.is_empty() {
            caller.send("0\r\n\r\n");
            expect(&mut call.wire, "0\r\n\r\n");
        }
        call.approve_and_close();
        assert_eq!(Answer::read(&mut caller).status, 200, "{framing}");
    }
}

#[test]
fn a_service_answers_piece_by_piece_while_the_request_goes_on() {
    let (mesh, origin) = Mesh::start_by_hand();
    let mut caller = mesh.call();
    caller.send("POST / HTTP/1.1\r\nHost: demo.local\r\nTransfer-Encoding: chunked\r\n\r\n");
    let mut call = origin.next();
    call.wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    take_head(&mut caller).unwrap();
    for turn in 0..10 {
        let piece = format!("4\r\nno {turn}\r\n");
        caller.send(&piece);
        expect(&mut call.wire, &piece);
        call.wire.send(&piece);
        expect(&mut caller, &piece);
    }
    caller.send("0\r\n\r\n");
    expect(&mut call.wire, "0\r\n\r\n");
    call.wire.send("0\r\n\r\n");
    expect(&mut caller, "0\r\n\r\n");
}

#[test]
fn a_caller_in_the_midst_of_its_upload_gets_the_answer_that_ends_it() {
    let (mesh, origin) = Mesh::start_by_hand();
    for turn in 0..20 {
        let mut caller = mesh.call();
        let mut uploading = Wire::new(caller.stream().try_clone().unwrap());
        uploading.send(format!(
            "POST / HTTP/1.1\r\nHost: demo.local\r\nContent-Length: {}\r\n\r\n",
            1_u64 << 40
        ));
        // Until the mesh takes no more of it.
        let upload = thread::spawn(move || while uploading.try_send([b'x'; 65536]).is_ok() {});
        let mut call = origin.next();
        call.wire.send(
            "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 8\r\n\r\nenough\r\n",
        );
        match turn % 2 {
            0 => call.wire.finish(),
            // The unread rest of the upload makes this a reset.
            _ => drop(call),
        }
        let answer = Answer::read(&mut caller);
        assert_eq!((answer.status, answer.text()), (413, "enough\r\n".to_owned()));
        assert_eq!(answer.values("connection"), ["close"]);
        caller.stream().shutdown(Shutdown::Both).unwrap();
        upload.join().unwrap();
    }
}
