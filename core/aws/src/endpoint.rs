//! Where a service is reached: host names by region and partition, and what overrides them.
//!
//! In order: a URL given explicitly, `AWS_ENDPOINT_URL_STS` or `AWS_ENDPOINT_URL_ECS`,
//! `AWS_ENDPOINT_URL`, and the service's own name in the region. The variables are not looked at
//! when `AWS_IGNORE_CONFIGURED_ENDPOINT_URLS` is `true`. `endpoint_url` in profiles is not read.

use std::fmt;

use ureq::http::Uri;

use crate::{Environment, Region};

/// A service's address and what is signed for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Scheme, host and port, without a `/` at the end.
    pub url: String,
    /// The value of the `Host` header: the port only where it is not the scheme's own.
    pub host: String,
    /// The region that requests are signed for.
    pub region: Region,
}

/// A world of its own at AWS, with its own accounts and host names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Partition {
    /// `aws`
    Commercial,
    /// `aws-cn`
    China,
    /// `aws-us-gov`
    Government,
}

/// Why there is no endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndpointError {
    /// A URL that is not an address: a sentence that names where it is from.
    Malformed(String),
    /// Host names of this region's partition are not known here.
    UnknownPartition(Region),
}

#[derive(Debug, Clone, Copy)]
enum Service {
    Sts,
    Ecs,
}

impl Endpoint {
    /// STS: the regional endpoint, or the global one when no region is known.
    ///
    /// # Errors
    /// An override is no address, or the partition of the region is not known.
    pub fn sts(
        environment: &Environment,
        region: Option<&Region>,
        url: Option<&str>,
    ) -> Result<Self, EndpointError> {
        let service = Service::Sts;
        let home = region.cloned().unwrap_or_else(Region::us_east_1);
        if let Some(endpoint) = overridden(environment, service, &home, url)? {
            return Ok(endpoint);
        }
        match region {
            None if !uses_fips(environment) => {
                Ok(Self::named("sts.amazonaws.com".to_owned(), home))
            }
            Some(_) | None => service.endpoint(home, environment),
        }
    }

    /// ECS in its region.
    ///
    /// # Errors
    /// An override is no address, or the partition of the region is not known.
    pub fn ecs(
        environment: &Environment,
        region: &Region,
        url: Option<&str>,
    ) -> Result<Self, EndpointError> {
        let service = Service::Ecs;
        match overridden(environment, service, region, url)? {
            Some(endpoint) => Ok(endpoint),
            None => service.endpoint(region.clone(), environment),
        }
    }

    /// The endpoint at `url`, which is `http` or `https`, a host, perhaps a port, and no more.
    ///
    /// # Errors
    /// It is not; `place` says in the sentence where the URL is from.
    pub fn at(url: &str, region: Region, place: &str) -> Result<Self, EndpointError> {
        let malformed = || {
            let example = "https://sts.eu-central-1.amazonaws.com";
            // With an @ in it there may be a password in it, wherever the URL goes wrong.
            EndpointError::Malformed(if url.contains('@') {
                format!(
                    "{place}: a user name or password in a URL is not supported; give an address \
                     such as {example}"
                )
            } else {
                format!("{place}: \"{url}\" is not an address such as {example}")
            })
        };
        let uri: Uri = url.parse().map_err(|_| malformed())?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(malformed());
        };
        let own_port = match scheme {
            "https" => 443,
            "http" => 80,
            _ => return Err(malformed()),
        };
        let has_more = uri.path() != "/" || uri.query().is_some() || url.contains(['@', '#']);
        let has_port = authority.as_str() != authority.host();
        if has_more || authority.host().is_empty() || has_port && authority.port_u16().is_none() {
            return Err(malformed());
        }
        let host = match authority.port_u16() {
            Some(port) if port != own_port => format!("{}:{port}", authority.host()),
            Some(_) | None => authority.host().to_owned(),
        };
        Ok(Self { url: format!("{scheme}://{host}"), host, region })
    }

    fn named(host: String, region: Region) -> Self {
        Self { url: format!("https://{host}"), host, region }
    }
}

fn overridden(
    environment: &Environment,
    service: Service,
    region: &Region,
    url: Option<&str>,
) -> Result<Option<Endpoint>, EndpointError> {
    if let Some(url) = url {
        return Endpoint::at(url, region.clone(), "endpoint").map(Some);
    }
    if environment.is_true("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS") {
        return Ok(None);
    }
    for variable in [service.variable(), "AWS_ENDPOINT_URL"] {
        if let Some(url) = environment.get(variable) {
            return Endpoint::at(url, region.clone(), variable).map(Some);
        }
    }
    Ok(None)
}

fn uses_fips(environment: &Environment) -> bool {
    environment.is_true("AWS_USE_FIPS_ENDPOINT")
}

impl Service {
    const fn variable(self) -> &'static str {
        match self {
            Self::Sts => "AWS_ENDPOINT_URL_STS",
            Self::Ecs => "AWS_ENDPOINT_URL_ECS",
        }
    }

    fn endpoint(
        self,
        region: Region,
        environment: &Environment,
    ) -> Result<Endpoint, EndpointError> {
        let Some(partition) = Partition::of(&region) else {
            return Err(EndpointError::UnknownPartition(region));
        };
        let name = match (self, partition, uses_fips(environment)) {
            // In the government's partition each endpoint of STS is validated, under its plain name.
            (Self::Sts, Partition::Government, _) | (Self::Sts, _, false) => "sts",
            (Self::Sts, Partition::Commercial | Partition::China, true) => "sts-fips",
            (Self::Ecs, _, false) => "ecs",
            (Self::Ecs, _, true) => "ecs-fips",
        };
        let host = format!("{name}.{region}.{}", partition.suffix());
        Ok(Endpoint::named(host, region))
    }
}

impl Partition {
    /// The partition of a region, or `None` for the isolated and the sovereign ones, whose host
    /// names nobody has tried with this program.
    #[must_use]
    pub fn of(region: &Region) -> Option<Self> {
        let name = region.as_str();
        let is_elsewhere = ["us-iso", "eu-iso", "eusc-"].iter().any(|it| name.starts_with(it));
        match name {
            _ if is_elsewhere => None,
            _ if name.starts_with("cn-") => Some(Self::China),
            _ if name.starts_with("us-gov-") => Some(Self::Government),
            _ => Some(Self::Commercial),
        }
    }

    /// The partition as ARNs name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Commercial => "aws",
            Self::China => "aws-cn",
            Self::Government => "aws-us-gov",
        }
    }

    const fn suffix(self) -> &'static str {
        match self {
            Self::Commercial | Self::Government => "amazonaws.com",
            Self::China => "amazonaws.com.cn",
        }
    }
}

impl fmt::Display for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(sentence) => f.write_str(sentence),
            Self::UnknownPartition(region) => write!(
                f,
                "the host names of AWS in {region} are not known here; give the endpoints' URLs"
            ),
        }
    }
}

impl std::error::Error for EndpointError {}

#[cfg(test)]
mod tests;
