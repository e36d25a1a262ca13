use super::{PARTITIONS, partition_of, region_of};

#[test]
fn a_host_of_sts_has_its_region() {
    let cases = [
        ("sts.amazonaws.com", Some("us-east-1")),
        ("sts.us-east-1.amazonaws.com", Some("us-east-1")),
        ("sts.eu-central-1.amazonaws.com", Some("eu-central-1")),
        ("sts.eu-central-1.api.aws", Some("eu-central-1")),
        ("sts-fips.us-west-2.amazonaws.com", Some("us-west-2")),
        ("sts-fips.us-west-2.api.aws", None),
        ("sts-fips.eu-central-1.amazonaws.com", None),
        ("sts.cn-north-1.amazonaws.com.cn", Some("cn-north-1")),
        ("sts.cn-north-1.api.amazonwebservices.com.cn", Some("cn-north-1")),
        ("sts.cn-north-1.amazonaws.com", None),
        ("sts.us-gov-west-1.amazonaws.com", Some("us-gov-west-1")),
        ("sts.us-gov-west-1.api.aws", Some("us-gov-west-1")),
        ("sts-fips.amazonaws.com", None),
        ("sts.amazonaws.com.cn", None),
        ("sts.us-iso-east-1.c2s.ic.gov", None),
        ("sts..amazonaws.com", None),
        ("sts.aws-global.amazonaws.com", None),
        ("ecs.eu-central-1.amazonaws.com", None),
        ("", None),
        (".", None),
    ];
    for (host, region) in cases {
        assert_eq!(region_of(host), region, "{host}");
    }
}

#[test]
fn every_region_has_its_hosts() {
    for partition in &PARTITIONS {
        for region in partition.regions {
            let [suffix, _] = partition.suffixes;
            assert_eq!(region_of(&format!("sts.{region}.{suffix}")), Some(*region));
            assert_eq!(partition_of(region), Some(partition.name));
        }
        assert!(partition.fips.iter().all(|region| partition.regions.contains(region)));
    }
    for region in ["", "eu-central-9", "EU-CENTRAL-1", "eu-central-1.evil.example", "aws-global"] {
        assert_eq!(partition_of(region), None, "{region}");
    }
}
