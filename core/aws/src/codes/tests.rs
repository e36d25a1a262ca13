use super::{complaint, explanation, is_code};

fn check(body: &str, expected: Option<&str>) {
    let found = complaint(body.as_bytes());
    assert_eq!(found.as_ref().map(|found| found.code.as_str()), expected, "{body}");
}

#[test]
fn the_code_is_found_in_any_namespace() {
    let sts = "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error>\
               <Type>Sender</Type><Code>SignatureDoesNotMatch</Code><Message>m</Message></Error>\
               <RequestId>r</RequestId></ErrorResponse>";
    check(sts, Some("SignatureDoesNotMatch"));
    check("<ErrorResponse><Error><Code>A.b1</Code></Error></ErrorResponse>", Some("A.b1"));
    let moto = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<ErrorResponse><Errors><Error>\
                <Code>AccessDenied</Code><Message>m</Message></Error></Errors></ErrorResponse>";
    check(moto, Some("AccessDenied"));
}

#[test]
fn what_is_no_code_is_none() {
    check("", None);
    check("{}", None);
    check("<html><Error><Code>A</Code></Error></html>", None);
    check("<ErrorResponse/>", None);
    check("<ErrorResponse><Error/></ErrorResponse>", None);
    check("<ErrorResponse><Error><Code/></Error></ErrorResponse>", None);
    check("<ErrorResponse><Error><Code>a b</Code></Error></ErrorResponse>", None);
    check("<ErrorResponse><Error><Code>A</Code><Code>B</Code></Error></ErrorResponse>", None);
    assert!(complaint(b"\xff\xfe").is_none());
    assert!(!is_code(&"a".repeat(65)));
    assert!(!is_code("a\nb"));
}

#[test]
fn the_message_is_what_stands_beside_the_code() {
    let message = |error: &str| {
        let body = format!("<ErrorResponse><Error>{error}</Error></ErrorResponse>");
        complaint(body.as_bytes()).unwrap().message
    };
    assert_eq!(message("<Code>A</Code><Message>a &lt; b</Message>"), "a < b");
    assert_eq!(message("<Code>A</Code><Message/>"), "");
    assert_eq!(message("<Code>A</Code>"), "");
}

#[test]
fn an_explanation_is_one_short_line_without_secrets() {
    assert_eq!(explanation(" a b\r\nc", None), "a b");
    assert_eq!(explanation("\na\u{1b}[2J", None), "a[2J");
    assert_eq!(explanation(&"x".repeat(900), None).len(), 500);
    let token = "t".repeat(20);
    assert_eq!(explanation("It is over.", Some(&token)), "It is over.");
    assert_eq!(explanation(&format!("{token} is over."), Some(&token)), "");
    // What is cut off would be seen in part.
    assert_eq!(explanation(&format!("{}{token}", "x".repeat(495)), Some(&token)), "");
    assert_eq!(explanation("Authorization=AWS4 Credential=A, Signature=s", None), "");
}
