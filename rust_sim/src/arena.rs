//! Storage that grows in steps: what is already stored is never moved, so no single command pays for a large copy.

/// A growing pool of `T`, addressed by slot number, in steps of STEP slots (a power of two). A step is filled when it is
/// first needed, so its size is what a new pool costs.
#[derive(Clone, Debug)]
pub(crate) struct Arena<T, const STEP: usize> {
    // Arrays rather than slices: a slot's low bits are then known to lie inside.
    steps: Vec<Box<[T; STEP]>>,
    used: u32,
    free: Vec<u32>,
}

impl<T: Copy + Default, const STEP: usize> Arena<T, STEP> {
    const SHIFT: u32 = STEP.trailing_zeros();

    pub(crate) fn new() -> Self {
        const { assert!(STEP.is_power_of_two()) }
        Arena { steps: Vec::new(), used: 0, free: Vec::new() }
    }

    /// Takes a slot: the one freed last, else a new one.
    #[inline]
    pub(crate) fn take(&mut self) -> u32 {
        if let Some(slot) = self.free.pop() {
            return slot;
        }
        let slot = self.used;
        if (slot >> Self::SHIFT) as usize == self.steps.len() {
            self.grow();
        }
        self.used += 1;
        slot
    }

    #[cold]
    fn grow(&mut self) {
        self.steps.push(Box::new([T::default(); STEP]));
    }

    /// Gives a slot back. Its content stays until the slot is taken again.
    #[inline]
    pub(crate) fn give(&mut self, slot: u32) {
        self.free.push(slot);
    }

    #[inline]
    pub(crate) fn at(&self, slot: u32) -> &T {
        &self.steps[(slot >> Self::SHIFT) as usize][slot as usize & (STEP - 1)]
    }

    #[inline]
    pub(crate) fn at_mut(&mut self, slot: u32) -> &mut T {
        &mut self.steps[(slot >> Self::SHIFT) as usize][slot as usize & (STEP - 1)]
    }

    /// Forgets every slot; the memory stays for the next use.
    pub(crate) fn clear(&mut self) {
        self.used = 0;
        self.free.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_keep_their_content_while_the_arena_grows() {
        let mut arena = Arena::<u64, 16>::new();
        let slots: Vec<u32> = (0..5_000)
            .map(|n| {
                let slot = arena.take();
                *arena.at_mut(slot) = n;
                slot
            })
            .collect();
        for (n, slot) in slots.iter().enumerate() {
            assert_eq!(*arena.at(*slot), n as u64);
        }
        arena.give(slots[7]);
        assert_eq!(arena.take(), slots[7]);
    }
}
