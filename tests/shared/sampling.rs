//! The choice of samples: all of them, or with `TAPEGRAD_SEED` (which `make test` sets and prints) some of each row.

/// The seed of this run; `None` when everything runs.
pub fn seed() -> Option<u64> {
    std::env::var("TAPEGRAD_SEED").ok().and_then(|text| text.parse().ok())
}

/// Which of `n` samples of the row `name` run: at most `most`, chosen by the seed, in their order.
pub fn chosen(name: &str, n: usize, most: usize) -> Vec<usize> {
    let Some(seed) = seed() else { return (0..n).collect() };
    // FNV-1a hash of the name, so that each row has its own choice.
    let mut state = name.bytes().fold(seed ^ 0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    let mut places: Vec<usize> = (0..n).collect();
    while places.len() > most {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        places.remove(usize::try_from(state >> 33).unwrap_or(0) % places.len());
    }
    places
}
