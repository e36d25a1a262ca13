use super::{error_code, is_code};

fn check(body: &str, expected: Option<&str>) {
    assert_eq!(error_code(body.as_bytes()).as_deref(), expected, "{body}");
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
    assert_eq!(error_code(b"\xff\xfe"), None);
    assert!(!is_code(&"a".repeat(65)));
    assert!(!is_code("a\nb"));
}
