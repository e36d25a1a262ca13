use super::Rng;

#[test]
fn one_seed_is_one_history() {
    let draw = |seed| {
        let mut rng = Rng::from_seed(seed);
        (0..32).map(|_| rng.bits()).collect::<Vec<_>>()
    };
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
}

#[test]
fn numbers_below_a_bound_cover_it_evenly() {
    let mut rng = Rng::from_seed(3);
    let mut seen = [0_u32; 10];
    for _ in 0..10_000 {
        seen[rng.index(10)] += 1;
    }
    assert!(seen.iter().all(|count| (850..1150).contains(count)), "{seen:?}");
    assert_eq!(rng.below(0), 0);
}
