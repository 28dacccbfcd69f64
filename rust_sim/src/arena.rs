//! Storage that grows in steps: what is already stored is never moved, so no single command pays for a large copy.

/// A growing pool of `T`, addressed by slot number, in steps of 2^SHIFT slots. A step is filled when it is first needed,
/// so its size is what a new pool costs.
#[derive(Clone, Debug)]
pub(crate) struct Arena<T, const SHIFT: u32 = 10> {
    steps: Vec<Box<[T]>>,
    used: u32,
    free: Vec<u32>,
}

impl<T: Copy + Default, const SHIFT: u32> Arena<T, SHIFT> {
    const STEP: usize = 1 << SHIFT;
    const MASK: u32 = (Self::STEP - 1) as u32;

    pub(crate) fn new() -> Self {
        Arena { steps: Vec::new(), used: 0, free: Vec::new() }
    }

    /// Takes a slot: the one freed last, else a new one.
    #[inline]
    pub(crate) fn take(&mut self) -> u32 {
        if let Some(slot) = self.free.pop() {
            return slot;
        }
        let slot = self.used;
        if (slot >> SHIFT) as usize == self.steps.len() {
            self.grow();
        }
        self.used += 1;
        slot
    }

    /// Makes a slot addressable that another arena gave out.
    #[inline]
    pub(crate) fn reach(&mut self, slot: u32) {
        while (slot >> SHIFT) as usize >= self.steps.len() {
            self.grow();
        }
    }

    #[cold]
    fn grow(&mut self) {
        self.steps.push(vec![T::default(); Self::STEP].into_boxed_slice());
    }

    /// Gives a slot back. Its content stays until the slot is taken again.
    #[inline]
    pub(crate) fn give(&mut self, slot: u32) {
        self.free.push(slot);
    }

    #[inline]
    pub(crate) fn at(&self, slot: u32) -> &T {
        &self.steps[(slot >> SHIFT) as usize][(slot & Self::MASK) as usize]
    }

    #[inline]
    pub(crate) fn at_mut(&mut self, slot: u32) -> &mut T {
        &mut self.steps[(slot >> SHIFT) as usize][(slot & Self::MASK) as usize]
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
        let mut arena = Arena::<u64, 4>::new();
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
