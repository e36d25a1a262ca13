use super::parse;

#[test]
fn names_and_hex_values_are_colours() {
    for (text, colour) in [
        ("blue", "blue"),
        (" RebeccaPurple ", "rebeccapurple"),
        ("#0aF", "#0af"),
        ("#00AAff", "#00aaff"),
    ] {
        assert_eq!(parse(text).as_deref(), Some(colour));
    }
}

#[test]
fn nothing_else_is() {
    let hostile = "red;}</style><script>alert(1)</script>";
    for text in ["", "#", "#12", "#1234", "#12345g", "bluish", "blue red", "url(x)", hostile] {
        assert_eq!(parse(text), None, "{text}");
    }
}
