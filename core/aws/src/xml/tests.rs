use super::{elements, only, parse, text};

const NS: &str = "urn:x";

#[test]
fn elements_and_text_are_read() {
    let document =
        parse("<?xml version=\"1.0\"?>\n<A xmlns=\"urn:x\">\n <B>b &amp; c</B> <C/>\n</A>");
    let document = document.unwrap();
    let root = document.root_element();
    assert_eq!(elements(root).unwrap().len(), 2);
    assert_eq!(only(root, NS, "B").and_then(text), Some("b & c"));
    assert_eq!(only(root, NS, "C").and_then(text), None, "nothing is no text");
    assert!(only(root, "urn:y", "B").is_none());
    assert!(only(root, NS, "D").is_none());
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    for trick in [
        "<A>a<!-- x -->b</A>",
        "<A><![CDATA[a]]></A>",
        "<A><?x y?></A>",
        "<!DOCTYPE A><A/>",
        "<!DOCTYPE A [<!ENTITY a \"b\">]><A>&a;</A>",
        "<A>&a;</A>",
        "<A b=\"c\"/>",
        "<A/><A/>",
        "<A>",
        "<A/>text",
        "",
        "\u{0}",
        "<?xml version=\"1.0\"?><?xml version=\"1.0\"?><A/>",
    ] {
        assert!(parse(trick).is_none(), "{trick}");
    }
}

#[test]
fn a_name_that_is_there_twice_is_not_the_only_one() {
    let document = parse("<A xmlns=\"urn:x\"><B>1</B><B>2</B></A>").unwrap();
    assert!(only(document.root_element(), NS, "B").is_none());
    let document = parse("<A xmlns=\"urn:x\"><B>1</B><B xmlns=\"urn:y\">2</B></A>").unwrap();
    assert!(only(document.root_element(), NS, "B").is_none(), "in another namespace either");
}

#[test]
fn text_between_elements_hides_them() {
    let document = parse("<A xmlns=\"urn:x\">x<B>1</B></A>").unwrap();
    assert!(only(document.root_element(), NS, "B").is_none());
    let document = parse("<A><B>1<C/></B></A>").unwrap();
    let inner = elements(document.root_element()).unwrap()[0];
    assert_eq!(text(inner), None);
}

#[test]
fn depth_and_number_of_elements_are_bounded() {
    let deep = "<A>".repeat(20_000);
    assert!(parse(&deep).is_none());
    let closed = format!("{}{}", "<A>".repeat(8_000), "</A>".repeat(8_000));
    assert!(parse(&closed).is_none());
    let wide = format!("<A>{}</A>", "<B/>".repeat(10_000));
    assert!(parse(&wide).is_none());
}
