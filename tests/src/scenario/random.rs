//! Chance that can be repeated.

/// A small generator (xorshift64*), good enough to choose moments.
pub struct Random(u64);

impl Random {
    /// Seeded by `RINGWALL_TEST_SEED`, or else by the clock; the seed is printed.
    pub fn seeded() -> Self {
        let given = std::env::var("RINGWALL_TEST_SEED").ok();
        let seed = given.and_then(|s| s.parse().ok()).unwrap_or_else(|| {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            now.map_or(1, |d| d.as_nanos() as u64)
        });
        println!("RINGWALL_TEST_SEED={seed} repeats this run");
        Self(seed | 1)
    }

    /// Always the same.
    pub const fn from_seed(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) % end
    }

    /// A time below `ms` milliseconds.
    pub fn wait(&mut self, ms: u64) -> std::time::Duration {
        std::time::Duration::from_millis(self.below(ms))
    }
}
