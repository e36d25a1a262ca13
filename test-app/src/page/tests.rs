use super::render;
use crate::config::Config;

fn page(variables: &[(&str, &str)]) -> String {
    let variables = variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
    render(&Config::from_variables(variables).unwrap())
}

#[test]
fn the_page_shows_name_version_and_colour() {
    let page =
        page(&[("SERVICE_NAME", "orders"), ("SERVICE_VERSION", "7.8"), ("COLOR", "#12ab34")]);
    assert!(page.contains("orders") && page.contains("7.8") && page.contains("#12ab34"));
    assert!(!page.contains("{{"));
}

#[test]
fn settings_cannot_inject() {
    let hostile = "\"'><script>x&</script>";
    let page = page(&[
        ("SERVICE_NAME", hostile),
        ("SERVICE_VERSION", "{{name}}<b>"),
        ("COLOR", "red;}</style><script>"),
    ]);
    assert!(!page.contains("<script>x") && !page.contains("<b>") && !page.contains("red;}"));
    assert!(page.contains("&quot;&#39;&gt;&lt;script&gt;x&amp;&lt;/script&gt;"));
}

#[test]
fn the_page_needs_nothing_from_elsewhere() {
    let page = page(&[]);
    for reference in ["http://", "https://", "src=\"", "url(", "@import", "=\"/", "'/api"] {
        assert!(!page.contains(reference), "{reference}");
    }
}
