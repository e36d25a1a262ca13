//! The hosts at which STS and ECS answer. A request with somebody's signature goes nowhere else.
//!
//! The regions are those of `endpoints.json` and `partitions.json` in botocore 1.44; hosts are
//! formed as in its rules for STS: `sts.REGION.SUFFIX` with the partition's two suffixes, the
//! second of which has IPv6 addresses too, and `sts-fips.REGION.amazonaws.com` where it lists
//! them. Proofs for a region that is newer than this table work with a configured endpoint of STS;
//! tasks and hosts of ECS in such a region are not known here.

/// A world of AWS that is apart from the others.
struct Partition {
    name: &'static str,
    /// After the region: the usual one, and the one for IPv6 too.
    suffixes: [&'static str; 2],
    regions: &'static [&'static str],
    /// The regions with a host `sts-fips`; in the partition for governments, every host is one.
    fips: &'static [&'static str],
}

/// The endpoint from before there were regional ones; it takes signatures for `us-east-1`.
const GLOBAL: (&str, &str) = ("sts.amazonaws.com", "us-east-1");

#[rustfmt::skip]
const PARTITIONS: [Partition; 3] = [
    Partition {
        name: "aws",
        suffixes: ["amazonaws.com", "api.aws"],
        regions: &[
            "af-south-1", "ap-east-1", "ap-east-2", "ap-northeast-1", "ap-northeast-2",
            "ap-northeast-3", "ap-south-1", "ap-south-2", "ap-southeast-1", "ap-southeast-2",
            "ap-southeast-3", "ap-southeast-4", "ap-southeast-5", "ap-southeast-6",
            "ap-southeast-7", "ca-central-1", "ca-west-1", "eu-central-1", "eu-central-2",
            "eu-north-1", "eu-south-1", "eu-south-2", "eu-west-1", "eu-west-2", "eu-west-3",
            "il-central-1", "me-central-1", "me-south-1", "me-west-1", "mx-central-1",
            "sa-east-1", "sa-west-1", "us-east-1", "us-east-2", "us-west-1", "us-west-2",
        ],
        fips: &["us-east-1", "us-east-2", "us-west-1", "us-west-2"],
    },
    Partition {
        name: "aws-cn",
        suffixes: ["amazonaws.com.cn", "api.amazonwebservices.com.cn"],
        regions: &["cn-north-1", "cn-northwest-1"],
        fips: &[],
    },
    Partition {
        name: "aws-us-gov",
        suffixes: ["amazonaws.com", "api.aws"],
        regions: &["us-gov-east-1", "us-gov-west-1"],
        fips: &[],
    },
];

/// The region for which a host of STS takes signatures; `None` if it is no host of STS.
#[must_use]
pub fn region_of(host: &str) -> Option<&'static str> {
    if host == GLOBAL.0 {
        return Some(GLOBAL.1);
    }
    let (service, rest) = host.split_once('.')?;
    let (region, suffix) = rest.split_once('.')?;
    let (partition, region) = find(region)?;
    let is_there = match service {
        "sts" => partition.suffixes.contains(&suffix),
        "sts-fips" => suffix == partition.suffixes[0] && partition.fips.contains(&region),
        _ => false,
    };
    is_there.then_some(region)
}

/// The partition of a region; `None` if there is no such region.
#[must_use]
pub fn partition_of(region: &str) -> Option<&'static str> {
    find(region).map(|(partition, _)| partition.name)
}

fn find(region: &str) -> Option<(&'static Partition, &'static str)> {
    PARTITIONS.iter().find_map(|partition| {
        let known = partition.regions.iter().find(|known| **known == region)?;
        Some((partition, *known))
    })
}

#[cfg(test)]
mod tests;
