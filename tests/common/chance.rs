//! Chance for tests that kill and change things in random order.

/// Numbers from a seed that is printed; FARPOST_SEED gives it again.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new() -> Self {
        let now = std::time::UNIX_EPOCH.elapsed().unwrap();
        let seed = std::env::var("FARPOST_SEED").ok().map_or(now.as_secs(), |text| text.parse().unwrap());
        println!("FARPOST_SEED={seed}");
        Self(seed)
    }

    /// SplitMix64.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}
