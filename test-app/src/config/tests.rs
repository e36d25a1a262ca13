use super::Config;

fn read(variables: &[(&str, &str)]) -> Result<Config, String> {
    Config::from_variables(variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())))
}

#[test]
fn everything_has_a_default() {
    for variables in [&[][..], &[("PORT", ""), ("BIND", " "), ("COLOR", ""), ("SERVICE_NAME", "")]]
    {
        let config = read(variables).unwrap();
        assert_eq!(config.listen.to_string(), "0.0.0.0:3000");
        assert_eq!(config.name, "test-app");
        assert_eq!(config.version, env!("CARGO_PKG_VERSION"));
        assert_eq!(config.color, "blue");
        assert!(config.environment.is_empty() && config.warnings.is_empty());
    }
}

#[test]
fn variables_replace_the_defaults() {
    let config = read(&[
        ("PORT", "0"),
        ("BIND", "::1"),
        ("COLOR", "Teal"),
        ("SERVICE_NAME", "orders\r\nx-evil: 1"),
        ("SERVICE_VERSION", "9.9"),
    ])
    .unwrap();
    assert_eq!(config.listen.to_string(), "[::1]:0");
    assert_eq!(config.color, "teal");
    assert_eq!(config.name, "ordersx-evil: 1");
    assert_eq!(config.version, "9.9");
}

#[test]
fn an_impossible_address_is_refused_in_one_sentence() {
    for port in ["65536", "-1", "http", "3000.0", "0x10"] {
        let problem = read(&[("PORT", port)]).unwrap_err();
        assert_eq!(
            problem,
            format!("PORT must be a whole number from 0 to 65535, not \"{port}\".")
        );
    }
    let problem = read(&[("BIND", "local\nhost")]).unwrap_err();
    assert_eq!(problem, "BIND must be an IP address such as 0.0.0.0, not \"local\\nhost\".");
}

#[test]
fn an_unsafe_colour_is_replaced_and_reported() {
    let config = read(&[("COLOR", "red;}</style>")]).unwrap();
    assert_eq!(config.color, "blue");
    assert_eq!(config.warnings.len(), 1);
    assert!(config.warnings[0].contains("red;}</style>"));
}

#[test]
fn a_downstream_is_found_by_its_variable_or_by_its_name() {
    let config = read(&[("DOWNSTREAM_ORDER_HISTORY", "http://10.0.0.7:81/x?y=1")]).unwrap();
    assert_eq!(config.downstream_url("order-history"), "http://10.0.0.7:81/x?y=1");
    assert_eq!(config.downstream_url("orders"), "http://orders/api/info");
    assert_eq!(config.downstream_url("orders.internal:81"), "http://orders.internal:81/api/info");
}

#[test]
fn only_listed_variables_are_shown() {
    let config = read(&[
        ("AWS_REGION", "eu-central-1"),
        ("AWS_SECRET_ACCESS_KEY", "hush"),
        ("AWS_SESSION_TOKEN", "hush"),
        ("DATABASE_URL", "postgres://me:hush@db"),
        ("DOWNSTREAM_A", "http://me:hush@a/"),
        ("ECS_CONTAINER_METADATA_URI_V4", "http://169.254.170.2/v4/hush"),
        ("aws_region", "hush"),
    ])
    .unwrap();
    let shown: Vec<_> = config.environment.iter().collect();
    assert_eq!(shown, [(&"AWS_REGION", &"eu-central-1".to_owned())]);
}
