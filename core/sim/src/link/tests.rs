use std::time::{Duration, Instant};

use mesh_protocol::Rng;

use super::{LinkConfig, Pipe, Side};
use crate::draw;
use crate::faults::{Fault, FaultPlan, Trigger};

#[test]
fn bytes_arrive_once_in_order_and_not_before_their_time() {
    for seed in 0..256 {
        let mut rng = Rng::from_seed(seed);
        let config = LinkConfig::draw(&mut rng);
        let start = Instant::now();
        let mut pipe = Pipe::new(&config, Side::Dialer, &FaultPlan::default(), start);
        let (mut now, mut sent, mut got) = (start, Vec::new(), Vec::new());
        let mut written_at = Vec::new();
        while got.len() < 50_000 {
            if sent.len() < 50_000 && draw::one_in(&mut rng, 2) {
                let len = draw::size(&mut rng, 5_000).min(pipe.space());
                let bytes: Vec<u8> = (0..len).map(|_| rng.mask()[0]).collect();
                pipe.send(&bytes, &config, now, &mut rng);
                sent.extend_from_slice(&bytes);
                written_at.resize(sent.len(), now);
                assert!(pipe.bytes.len() <= config.capacity);
            } else if let Some(at) = pipe.next_at() {
                now = now.max(at);
            }
            while pipe.poll_segment(now).is_some() {}
            if pipe.arrived > 0 {
                let count = draw::size(&mut rng, pipe.arrived);
                assert!(now >= written_at[got.len()] + config.latency);
                got.extend(pipe.bytes.drain(..count));
                pipe.arrived -= count;
            }
        }
        assert!(sent.starts_with(&got));
    }
}

#[test]
fn a_fault_strikes_at_its_very_byte() {
    let mut rng = Rng::from_seed(1);
    let now = Instant::now();
    let config = LinkConfig::fast();
    let plan = FaultPlan {
        faults: vec![
            (Trigger::Byte(Side::Dialer, 700), Fault::Cut),
            (Trigger::Byte(Side::Listener, 5), Fault::Cut),
            (Trigger::Byte(Side::Dialer, 123), Fault::Truncate),
        ],
        dribble_bytes: 50,
    };
    let mut pipe = Pipe::new(&config, Side::Dialer, &plan, now);
    pipe.send(&[0; 1_000], &config, now, &mut rng);
    let (mut struck, mut single) = (Vec::new(), 0);
    while let Some(len) = pipe.poll_segment(now + Duration::from_secs(1)) {
        single += usize::from(len == 1);
        if let Some(fault) = pipe.poll_fault() {
            struck.push((pipe.delivered, fault));
        }
    }
    assert_eq!(struck, [(123, Fault::Truncate), (700, Fault::Cut)]);
    assert!(single >= 50);
}
