//! Decisions that bytes make.

/// Decisions, one after the other. The same bytes decide the same; where they end every decision is the first and simplest, so fewer
/// and smaller bytes make simpler objects.
pub(crate) struct Choices<'a> {
    bytes: std::slice::Iter<'a, u8>,
}

// === impl Choices ===

impl<'a> Choices<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes: bytes.iter() }
    }

    fn byte(&mut self) -> u8 {
        self.bytes.next().copied().unwrap_or_default()
    }

    /// A number below the bound; 0 where that is 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        match bound {
            0 | 1 => 0,
            2..=256 => usize::from(self.byte()) % bound,
            _ => usize::from(u16::from_be_bytes([self.byte(), self.byte()])) % bound,
        }
    }

    /// True in so many of 256 cases.
    pub(crate) fn chance(&mut self, of_256: u8) -> bool {
        of_256 > 0 && self.byte() > u8::MAX - of_256
    }

    /// One of several.
    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}
